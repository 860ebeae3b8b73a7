//! rollcall-crm
