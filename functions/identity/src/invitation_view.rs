//! How the invitations that operators sent look on the wire.

use rollcall_domain::id::InvitationId;
use rollcall_domain::invitation::Sent;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{HttpRequest, Problem};
use schemars::JsonSchema;
use serde::Serialize;

/// An invitation that an operator sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentInvitation")]
pub(crate) struct InvitationView {
    /// The id.
    id: String,
    /// `open`, `accepted`, `expired`, or `replaced` by a later one of the same address.
    state: &'static str,
    /// Whom it invites; null once it was accepted or replaced.
    email: Option<String>,
    /// How the mail addresses its reader; null when nobody said so, and as `email`.
    name: Option<String>,
    /// Who sent it: a user's id, or `client:` and a client's.
    invited_by: String,
    /// When (RFC 3339, UTC).
    created_at: String,
    /// Until when it can be accepted (RFC 3339, UTC).
    ends_at: Option<String>,
    /// When it was accepted (RFC 3339, UTC).
    accepted_at: Option<String>,
}

impl InvitationView {
    /// An invitation as it is at `now`.
    pub(crate) fn of(sent: Sent, now: Timestamp) -> Self {
        let state = sent.state(now).as_str();
        let kept = sent.kept;
        let address = kept.as_ref().and_then(|kept| kept.address.as_ref());
        Self {
            id: sent.id.into(),
            state,
            email: address.map(|address| address.as_str().to_owned()),
            name: sent.name,
            invited_by: sent.invited_by,
            created_at: sent.created_at.to_string(),
            ends_at: kept.as_ref().map(|kept| kept.ends_at().to_string()),
            accepted_at: kept.and_then(|kept| kept.accepted_at).map(|at| at.to_string()),
        }
    }
}

/// The invitation that a request's path names.
pub(crate) fn invitation(request: &HttpRequest) -> Result<InvitationId, Problem> {
    request.path_parameter("id").parse().map_err(|_error| Problem::new(&NOT_FOUND))
}
