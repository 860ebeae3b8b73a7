//! What would be sent to the CRM now, without sending it: the engine's own decision over the state as
//! it is. Shown as letters show requests, by names and hashes.

use std::collections::BTreeMap;

use rollcall_crm::dead_letter::sketch;
use rollcall_crm::desk::requests;
use rollcall_crm::ledger::Ledger;
use rollcall_crm::port::{Address, FacetSource, Input, KeyKind};
use rollcall_crm::projection::project_all;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::PortError;
use rollcall_store::crm::UserStates;
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine;

/// Sees what would be sent.
pub(crate) struct Outlook {
    source: UserStates,
    key: KeyKind,
}

/// What would be sent about a user.
pub(crate) struct Seen {
    /// Whether there is such a user.
    pub(crate) user_exists: bool,
    /// The inputs of calls, one for each facet or for several together.
    pub(crate) requests: Vec<RequestView>,
}

/// A part of a call to the CRM: one contact and its properties.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CrmRequest")]
pub(crate) struct RequestView {
    /// The facets that it carries.
    facets: Vec<&'static str>,
    /// How the CRM finds the contact: `rollcall_user_id`, `email` or `id`.
    found_by: &'static str,
    /// The user's id, or the contact's; none where it is the address.
    found_as: Option<String>,
    /// The properties: of each the length of its value and the start of its hash.
    properties: BTreeMap<&'static str, String>,
}

impl From<Input> for RequestView {
    fn from(input: Input) -> Self {
        let (found_by, found_as) = match input.address {
            Address::UserId(user) => (rollcall_crm::schema::USER_ID, Some(user.into())),
            Address::Email(_) => (rollcall_crm::schema::EMAIL, None),
            Address::ContactId(contact) => ("id", Some(contact)),
        };
        let properties = input.properties.into_iter();
        Self {
            facets: input.facets.into_iter().map(Facet::as_str).collect(),
            found_by,
            found_as,
            properties: properties.map(|(name, value)| (name, sketch(&value))).collect(),
        }
    }
}

impl Outlook {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { source: engine::states(startup)?, key: engine::key(startup)? })
    }

    /// What would be sent about `facets`; `forced`: as after a replay.
    pub(crate) async fn look(
        &self,
        user: &UserId,
        facets: &[Facet],
        ledger: &Ledger,
        forced: bool,
    ) -> Result<Seen, PortError> {
        let state = self.source.load(user).await?;
        let user_exists = state.is_some();
        let state = state.map(|state| project_all(&state, &ledger.edits)).unwrap_or_default();
        let inputs = requests(user, facets, forced, (ledger, state), self.key);
        Ok(Seen { user_exists, requests: inputs.into_iter().map(RequestView::from).collect() })
    }
}
