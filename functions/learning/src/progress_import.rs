//! Brings over what an earlier system recorded of some people, tells what that would be, compares it
//! with what we hold, or undoes it. An import only adds. It is known by its name: importing the same
//! again under it adds what is missing and changes nothing else, so a program that broke off begins
//! again, and what an import wrote can be undone where nobody has gone on.
//!
//! Somebody whose tree cannot be read keeps nobody else out; the answer says of each person what
//! became of theirs.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::catalog::Catalog;
use rollcall_domain::id::UserId;
use rollcall_domain::import::{Oddity, Past, Tree, Written, bring, lacking, read};
use rollcall_domain::limits::{
    EMAIL_CHARACTERS_MAX, IMPORT_LISTED_MAX, IMPORT_PEOPLE_MAX, IMPORT_TREE_BYTES_MAX,
};
use rollcall_domain::random::Random;
use rollcall_domain::slug::Slug;
use rollcall_domain::text;
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::{ProgressImporter, Write};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "progress-import",
    purpose: "Brings over what an earlier system recorded of people, or undoes that.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/progress/imports/{import}",
    })],
    grants: &[CatalogReader::GRANTS, ProgressImporter::GRANTS],
    // As many trees as the property that held one could hold, and what stands around them.
    body_bytes_max: 5 * 1024 * 1024,
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// How often one person's write is tried again when their progress changed in between.
const ATTEMPTS_MAX: u32 = 10;
/// Writes that bring one person's past.
const PORTIONS_MAX: u32 = 50;

struct Ports {
    catalog: CatalogReader,
    importer: ProgressImporter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, importer) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, importer, random: startup.random() })
    }
}

/// What to do with some people's past.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProgressImport")]
struct Body {
    /// What to do.
    mode: Mode,
    /// One to twenty people.
    contacts: Vec<ContactBody>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ProgressImportMode")]
enum Mode {
    /// Says what would be written.
    DryRun,
    /// Writes what is missing.
    Import,
    /// Says what is missing.
    Verify,
    /// Removes what an import of this name wrote, where nobody has gone on.
    Undo,
}

/// Somebody, as the CRM's contact tells.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProgressImportContact")]
struct ContactBody {
    /// The contact's id, by which the answer names them.
    contact_id: String,
    /// The address; it leads to the user who has proven it.
    email: String,
    /// The property `hhl_progress_state`: the tree, as JSON in a text.
    #[serde(default)]
    progress_state: String,
    /// The property `hhl_progress_updated_at`: when the tree was last changed.
    progress_updated_at: Option<String>,
}

#[derive(Debug)]
struct Input {
    import: Slug,
    body: Body,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let import = request.path_parameter("import").parse();
        let import = import.map_err(|_invalid| Problem::new(&NOT_FOUND))?;
        let body: Body = request.json()?;
        if body.contacts.is_empty() || body.contacts.len() > IMPORT_PEOPLE_MAX {
            let detail = format!("must hold 1 to {IMPORT_PEOPLE_MAX} contacts");
            return Err(Problem::invalid("/contacts", "invalid-length", &detail));
        }
        for (index, contact) in body.contacts.iter().enumerate() {
            let long = [
                ("email", contact.email.len() > 4 * EMAIL_CHARACTERS_MAX),
                ("progress_state", contact.progress_state.len() > IMPORT_TREE_BYTES_MAX),
            ];
            if let Some((field, _)) = long.into_iter().find(|(_, is_long)| *is_long) {
                let pointer = format!("/contacts/{index}/{field}");
                return Err(Problem::invalid(pointer, "invalid-length", &"is too long"));
            }
        }
        Ok(Self { import, body })
    }
}

/// What became of some people's past.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProgressImported")]
struct Output {
    /// Each contact, in the order of the request.
    contacts: Vec<ContactView>,
}

/// What became of one person's past.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ProgressImportedContact")]
struct ContactView {
    /// The contact's id.
    contact_id: String,
    /// `no_user` (nobody has proven the address), `malformed` (the tree is no tree), `nothing` (there
    /// is nothing to do), `would_write`, `written`, `complete` (nothing is missing), `incomplete`,
    /// `undone`, or `failed` (try again).
    status: &'static str,
    /// Whose.
    user_id: Option<String>,
    /// How many records were written or removed, or would be.
    records: usize,
    /// What is missing, or stays since somebody has gone on from there: the first hundred.
    items: Vec<String>,
    /// How many of them there are.
    items_total: usize,
    /// Places of the tree that are not imported as they are: the first hundred.
    oddities: Vec<OddityView>,
    /// How many of them there are.
    oddities_total: usize,
}

impl ContactView {
    /// With what came out, and the first of what is missing or stays.
    fn listing(self, status: &'static str, mut items: Vec<String>) -> Self {
        let items_total = items.len();
        items.truncate(IMPORT_LISTED_MAX);
        Self { status, items, items_total, ..self }
    }
}

/// A place of the tree that is not imported as it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProgressImportOddity")]
struct OddityView {
    /// Where, such as `courses/first-steps/modules/follow-a-change`; its first 200 characters.
    place: String,
    /// `unknown` (the catalogue has no such thing), `time-unreadable` (it counts as of the tree's last
    /// change), `time-missing` (it is left out) or `future` (it counts as of now).
    code: &'static str,
}

impl From<Oddity> for OddityView {
    fn from(oddity: Oddity) -> Self {
        Self { place: oddity.place, code: oddity.kind.as_str() }
    }
}

/// Who imports what, and when.
struct Order<'order> {
    ports: &'order Ports,
    actor: Actor,
    context: &'order Context,
    import: &'order Slug,
    catalog: &'order Catalog,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { import, body }: Input,
) -> Result<Response, ProgressImportError> {
    let catalog = ports.catalog.load(context.now).await?;
    let actor = operator.actor();
    let order = Order { ports, actor, context, import: &import, catalog: &catalog };
    let mut contacts = Vec::with_capacity(body.contacts.len());
    for contact in body.contacts {
        let contact_id = contact.contact_id.clone();
        let view = match order.one(body.mode, contact).await {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(error = chain(&error), "somebody's past could not be handled");
                ContactView { status: "failed", ..ContactView::default() }
            }
        };
        contacts.push(ContactView { contact_id, ..view });
    }
    Ok(Response::json(200, &Output { contacts }))
}

impl Order<'_> {
    async fn one(&self, mode: Mode, contact: ContactBody) -> Result<ContactView, PortError> {
        let importer = &self.ports.importer;
        let of_status = |status| ContactView { status, ..ContactView::default() };
        let Ok(email) = text::email(&contact.email) else {
            return Ok(of_status("no_user"));
        };
        let Some(user) = importer.user(&email).await? else {
            return Ok(of_status("no_user"));
        };
        let user_id = Some(user.to_string());
        if mode == Mode::Undo {
            return Ok(ContactView { user_id, ..self.undo(&user).await? });
        }
        let state = contact.progress_state.trim();
        let state = if state.is_empty() { "{}" } else { state };
        let tree: Result<Tree, _> = serde_json::from_str(state);
        let Ok(tree) = tree else {
            return Ok(ContactView { user_id, ..of_status("malformed") });
        };
        let changed_at = contact.progress_updated_at.as_deref();
        let (past, oddities) = read(&tree, self.catalog, changed_at, self.context.now);
        let view = match mode {
            Mode::Import => self.import(&user, &past).await?,
            Mode::DryRun | Mode::Undo => {
                let learner = importer.load(&user).await?;
                let records = bring(&learner, &past, self.catalog, self.context.now).len();
                let status = if records == 0 { "nothing" } else { "would_write" };
                ContactView { records, ..of_status(status) }
            }
            Mode::Verify => {
                let items = lacking(&importer.load(&user).await?, &past);
                let status = if items.is_empty() { "complete" } else { "incomplete" };
                ContactView::default().listing(status, items)
            }
        };
        let oddities_total = oddities.len();
        let listed = oddities.into_iter().take(IMPORT_LISTED_MAX);
        let oddities = listed.map(OddityView::from).collect();
        Ok(ContactView { user_id, oddities, oddities_total, ..view })
    }

    /// Brings portion by portion, until there is nothing left.
    async fn import(&self, user: &UserId, past: &Past) -> Result<ContactView, PortError> {
        let (now, mut records, mut conflicts) = (self.context.now, 0, 0);
        for _portion in 0..PORTIONS_MAX {
            let before = self.ports.importer.load(user).await?;
            let changes = bring(&before, past, self.catalog, now);
            if changes.is_empty() {
                let status = if records == 0 { "nothing" } else { "written" };
                return Ok(ContactView { status, records, ..ContactView::default() });
            }
            let written = self.ports.importer.written(user, self.import).await?;
            let written = written.unwrap_or_else(|| Written::nothing(now)).with(&before, &changes);
            let action =
                Action::ProgressImported { import: self.import.clone(), records: changes.len() };
            let entry = self.entry(user, action);
            let write = Write { user, before: &before, now, trace_id: &self.context.trace_id };
            let stored =
                self.ports.importer.store(write, &changes, (self.import, &written), &entry);
            match stored.await {
                Ok(true) => records += changes.len(),
                Ok(false) => {
                    return Ok(ContactView { status: "no_user", ..ContactView::default() });
                }
                Err(error)
                    if error.class == PortErrorClass::Conflict && conflicts < ATTEMPTS_MAX =>
                {
                    conflicts += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ContactView { status: "failed", records, ..ContactView::default() })
    }

    /// Removes portion by portion; the record of the import goes with the last.
    async fn undo(&self, user: &UserId) -> Result<ContactView, PortError> {
        let importer = &self.ports.importer;
        let (now, trace_id) = (self.context.now, self.context.trace_id.as_str());
        let (mut records, mut conflicts) = (0, 0);
        for _portion in 0..PORTIONS_MAX {
            // Read before the record of the import: what the import brings in between is a conflict.
            let before = importer.load(user).await?;
            let Some(written) = importer.written(user, self.import).await? else {
                return Ok(ContactView { status: "nothing", ..ContactView::default() });
            };
            let (undo, is_all) = written.undo(&before).portion();
            let import = self.import.clone();
            let entry = self.entry(user, Action::ImportUndone { import, records: undo.len() });
            let write = Write { user, before: &before, now, trace_id };
            match importer.undo(write, (&undo, is_all), self.import, &entry).await {
                Ok(true) => {
                    records += undo.len();
                    if is_all {
                        let view = ContactView { records, ..ContactView::default() };
                        return Ok(view.listing("undone", undo.kept));
                    }
                }
                Ok(false) => {
                    return Ok(ContactView { status: "no_user", ..ContactView::default() });
                }
                Err(error)
                    if error.class == PortErrorClass::Conflict && conflicts < ATTEMPTS_MAX =>
                {
                    conflicts += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ContactView { status: "failed", records, ..ContactView::default() })
    }

    fn entry(&self, user: &UserId, action: Action) -> Entry {
        let told = (self.actor.clone(), action, Subject::User(user.clone()));
        Entry::new(told, &self.context.trace_id, self.context.now, &*self.ports.random)
    }
}

#[derive(Debug, thiserror::Error)]
enum ProgressImportError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<ProgressImportError> for Problem {
    fn from(error: ProgressImportError) -> Self {
        match error {
            ProgressImportError::Port(error) => Self::port(&error),
        }
    }
}
