//! rollcall-functions-crm
