//! What travels from the webhook to whoever takes it in.

use rollcall_crm::inbound::Notice;
use serde::{Deserialize, Serialize};

/// Notices of one request. They hold ids and names of properties, and nobody's data.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Names the delivery, however often its message is received. Random.
    pub(crate) id: String,
    /// One id from the request to the calls that follow.
    pub(crate) trace_id: String,
    /// How often its contacts were looked up in vain.
    pub(crate) looks: u32,
    /// What happened.
    pub(crate) notices: Vec<Notice>,
}
