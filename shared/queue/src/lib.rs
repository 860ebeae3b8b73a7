//! rollcall-queue
