//! Shows where one user stands with the CRM: what it acknowledged, what waits, what was refused, and
//! what would be sent now.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::desk::{Filed, Filter};
use rollcall_crm::ledger::Ledger;
use rollcall_crm::milestone::MilestoneRow;
use rollcall_crm::pending::PendingRow;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_edge::cursor::PAGE_ENTRIES_MAX;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, ForeignEdit, UserSyncReader};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::STATES;
use crate::letters::LetterView;
use crate::outlook::{Outlook, RequestView};
use crate::settings;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-user-get",
    purpose: "Shows where one user stands with the CRM.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/crm/users/{id}" })],
    grants: &[UserSyncReader::GRANTS, STATES[0], STATES[1], STATES[2], STATES[3], STATES[4]],
    settings: settings::ALL,
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

/// Pages of the list that are looked through for letters of the user.
const PAGES_MAX: usize = 10;

struct Ports {
    table: Arc<CrmTable>,
    outlook: Outlook,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<UserSyncReader>()?.table();
        Ok(Self { table, outlook: Outlook::new(startup)? })
    }
}

#[derive(Debug)]
struct Input(UserId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        id.map(Self).map_err(|_error| Problem::new(&NOT_FOUND))
    }
}

/// Where a user stands with the CRM.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserSync")]
struct Output {
    /// Who.
    user_id: String,
    /// The CRM's id of the contact; none until the CRM first accepted the user's identity.
    contact_id: Option<String>,
    /// Why the contact leaves the CRM, if it does.
    removal: Option<RemovalView>,
    /// Until when somebody may be sending about the user (RFC 3339, UTC).
    leased_until: Option<String>,
    /// What the CRM acknowledged, facet by facet.
    facets: BTreeMap<&'static str, FacetView>,
    /// Facets that wait.
    pending: Vec<PendingView>,
    /// Milestones that wait.
    milestones: Vec<MilestoneView>,
    /// What people changed of ours in the CRM, within ninety days.
    edits: Vec<EditView>,
    /// Whether more milestones wait than are told here.
    has_more: bool,
    /// What was refused, whatever became of it; at most a hundred.
    dead_letters: Vec<LetterView>,
    /// What would be sent now.
    would_send: Vec<RequestView>,
}

/// A contact that leaves the CRM.
#[derive(Debug, Serialize, JsonSchema)]
struct RemovalView {
    /// `erase` or `archive`.
    kind: &'static str,
    /// When it was asked for (RFC 3339, UTC).
    asked_at: String,
    /// Since when it is gone (RFC 3339, UTC).
    done_at: Option<String>,
}

/// What the CRM holds of a facet.
#[derive(Debug, Serialize, JsonSchema)]
struct FacetView {
    /// Version of the state that it acknowledged; none: never, or nobody can tell.
    acknowledged_version: Option<u64>,
    /// When it did (RFC 3339, UTC).
    acknowledged_at: Option<String>,
    /// The dead letter that holds the facet up.
    dead_letter: Option<String>,
    /// Whether an operator replaced properties in what was refused.
    is_edited: bool,
}

/// A facet that waits.
#[derive(Debug, Serialize, JsonSchema)]
struct PendingView {
    /// Which.
    facet: &'static str,
    /// Why: `portal`, `paced`, `busy`, `transient`, `unknown`, `recovered`, `replay`,
    /// `removal` or `drift`.
    reason: &'static str,
    /// How often it was sent in vain.
    attempts: u32,
    /// Since when (RFC 3339, UTC).
    since: String,
    /// When it is tried next (RFC 3339, UTC).
    due_at: String,
}

/// A milestone that waits.
#[derive(Debug, Serialize, JsonSchema)]
struct MilestoneView {
    /// Such as `signed_in`.
    kind: &'static str,
    /// What it is about, such as a course's slug; empty where there is nothing to name.
    subject: String,
    /// When it happened (RFC 3339, UTC).
    at: String,
    /// How often it was told in vain.
    attempts: u32,
    /// When it is tried next (RFC 3339, UTC).
    due_at: String,
}

/// Something of ours that somebody changed in the CRM.
#[derive(Debug, Serialize, JsonSchema)]
struct EditView {
    /// A property's name, or `contact` when the whole contact was archived or restored.
    what: String,
    /// When, as the CRM said (RFC 3339, UTC).
    at: String,
    /// Who won: `ours`, what we hold was written again, or `theirs`.
    resolution: &'static str,
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    _context: &Context,
    Input(user): Input,
) -> Result<Response, CrmUserGetError> {
    let sync = ports.table.sync_of(&user).await?;
    let known = sync.ledger.is_some();
    let ledger = sync.ledger.unwrap_or_default();
    let seen = ports.outlook.look(&user, &Facet::ALL, &ledger, false).await?;
    if !known && !seen.user_exists {
        return Err(CrmUserGetError::NotFound);
    }
    let letters = letters(ports, &user).await?;
    let output = Output {
        user_id: user.into(),
        contact_id: ledger.contact_id.clone(),
        removal: ledger.removal.as_ref().map(|removal| RemovalView {
            kind: removal.kind.as_str(),
            asked_at: removal.asked_at.to_string(),
            done_at: removal.done_at.map(|at| at.to_string()),
        }),
        leased_until: sync.leased_until.map(|until| until.to_string()),
        facets: Facet::ALL.map(|facet| (facet.as_str(), view(facet, &ledger))).into(),
        pending: sync.pending.into_iter().map(PendingView::from).collect(),
        milestones: sync.milestones.into_iter().map(MilestoneView::from).collect(),
        edits: sync.edits.into_iter().map(EditView::from).collect(),
        has_more: sync.has_more,
        dead_letters: letters.into_iter().map(LetterView::from).collect(),
        would_send: seen.requests,
    };
    Ok(Response::json(200, &output))
}

/// The letters of a user, whatever became of them.
async fn letters(ports: &Ports, user: &UserId) -> Result<Vec<Filed>, PortError> {
    let filter = Filter { user: Some(user.clone()), ..Filter::default() };
    let (mut letters, mut position) = (Vec::new(), None);
    for _page in 0..PAGES_MAX {
        let page = ports.table.letters(&filter, position.as_deref(), PAGE_ENTRIES_MAX).await?;
        letters.extend(page.letters);
        position = page.position;
        if position.is_none() || letters.len() >= PAGE_ENTRIES_MAX {
            break;
        }
    }
    letters.truncate(PAGE_ENTRIES_MAX);
    Ok(letters)
}

fn view(facet: Facet, ledger: &Ledger) -> FacetView {
    let entry = ledger.facet(facet);
    let is_edited = match (&entry.refused, ledger.edits.get(&facet)) {
        (Some(refused), Some(edit)) => refused.hash == edit.of,
        (None, _) | (_, None) => false,
    };
    FacetView {
        acknowledged_version: entry.acknowledged.as_ref().map(|held| held.version),
        acknowledged_at: entry.acknowledged.map(|held| held.at.to_string()),
        dead_letter: entry.refused.map(|refused| refused.dead_letter.into()),
        is_edited,
    }
}

impl From<PendingRow> for PendingView {
    fn from(row: PendingRow) -> Self {
        Self {
            facet: row.dirty.facet.as_str(),
            reason: row.reason.as_str(),
            attempts: row.attempts,
            since: row.first_at.to_string(),
            due_at: row.due_at.to_string(),
        }
    }
}

impl From<MilestoneRow> for MilestoneView {
    fn from(row: MilestoneRow) -> Self {
        Self {
            kind: row.milestone.kind.as_str(),
            subject: row.milestone.subject,
            at: row.milestone.at.to_string(),
            attempts: row.attempts,
            due_at: row.due_at.to_string(),
        }
    }
}

impl From<ForeignEdit> for EditView {
    fn from(edit: ForeignEdit) -> Self {
        let resolution = if edit.is_ours_again { "ours" } else { "theirs" };
        Self { what: edit.what, at: edit.at.to_string(), resolution }
    }
}

#[derive(Debug, thiserror::Error)]
enum CrmUserGetError {
    #[error("no such user")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmUserGetError> for Problem {
    fn from(error: CrmUserGetError) -> Self {
        match error {
            CrmUserGetError::NotFound => Self::new(&NOT_FOUND),
            CrmUserGetError::Port(error) => Self::port(&error),
        }
    }
}
