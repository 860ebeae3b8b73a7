//! rollcall-local-lambda
