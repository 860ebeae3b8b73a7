//! Makes a catalogue the one that everybody sees, or says what that would change. It comes as the files
//! that people write; everything that is wrong with them is told at once, each fault with its file, and
//! then nothing is published.
//!
//! A version is named by what it says, so publishing the same again changes nothing, and a publication
//! that broke off is done by publishing again.

use std::sync::Arc;

use rollcall_content::{File, FileFault, parse};
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::catalog::{CatalogVersion, Difference, Edition, EntryName};
use rollcall_domain::limits::FIELD_REFUSALS_MAX;
use rollcall_domain::random::Random;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{
    Context, FieldError, FromRequest, HttpRequest, Operator, Principal, Problem, Response,
};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::{CatalogEditor, Publication, version_of};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "catalog-publish",
    purpose: "Makes a catalogue the one that everybody sees.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/catalog/versions" })],
    grants: &[CatalogEditor::GRANTS],
    // Lambda takes 6 MB of everything.
    body_bytes_max: 5 * 1024 * 1024,
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

struct Ports {
    catalog: CatalogEditor,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, random: startup.random() })
    }
}

/// A catalogue as people write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CatalogFiles")]
struct Body {
    /// Its files, as `catalog/README.md` describes them.
    files: Vec<FileBody>,
    /// Whether to say only what would change.
    #[serde(default)]
    dry_run: bool,
}

/// A file of a catalogue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CatalogFile")]
struct FileBody {
    /// Its path from the catalogue's folder, such as `courses/first-steps.md`.
    path: String,
    /// What it says.
    text: String,
}

#[derive(Debug)]
struct Input {
    edition: Edition,
    dry_run: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let Body { files, dry_run } = request.json()?;
        let file = |FileBody { path, text }: FileBody| File { path, text };
        let mut files: Vec<File> = files.into_iter().map(file).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let edition = parse(&files).map_err(|faults| wrong(&faults))?;
        Ok(Self { edition, dry_run })
    }
}

fn wrong(faults: &[FileFault]) -> Problem {
    let error = |fault: &FileFault| FieldError {
        pointer: format!("file:{}", fault.file),
        code: "catalog-fault",
        detail: match fault.place.as_str() {
            "" => fault.text.clone(),
            place => format!("{place}: {}", fault.text),
        },
    };
    let errors = faults.iter().take(FIELD_REFUSALS_MAX).map(error).collect();
    Problem { errors, ..Problem::new(&INVALID) }
}

/// What was published, or would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CatalogPublication")]
struct Output {
    /// The version, which is named by what it says.
    version: String,
    /// Whether it is the current one since now.
    published: bool,
    /// What differs in it from the version that was current before.
    differences: Vec<DifferenceView>,
}

/// An entry that differs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CatalogDifference")]
struct DifferenceView {
    /// `added`, `removed` or `changed`.
    change: &'static str,
    /// Which, such as `course first-steps`.
    entry: String,
}

impl From<(EntryName, Difference)> for DifferenceView {
    fn from((entry, difference): (EntryName, Difference)) -> Self {
        let change = match difference {
            Difference::Added => "added",
            Difference::Removed => "removed",
            Difference::Changed => "changed",
        };
        Self { change, entry: entry.to_string() }
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { edition, dry_run }: Input,
) -> Result<Response, CatalogPublishError> {
    let version = version_of(&edition)?;
    let differences = edition.differences(&ports.catalog.current().await?);
    let differences = differences.into_iter().map(DifferenceView::from).collect();
    let published = !dry_run && publish(ports, operator, context, &edition, &version).await?;
    Ok(Response::json(200, &Output { version: version.to_string(), published, differences }))
}

/// Whether the version was not the current one already.
async fn publish(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    edition: &Edition,
    version: &CatalogVersion,
) -> Result<bool, CatalogPublishError> {
    let action = Action::CatalogPublished { version: version.clone() };
    let told = (operator.actor(), action, Subject::Catalog);
    let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
    match ports.catalog.publish(edition, &entry).await? {
        Publication::Published(version) => {
            let operator = operator.name();
            tracing::warn!(operator, version = version.as_str(), "a catalogue was published");
            Ok(true)
        }
        Publication::Unchanged(_) => Ok(false),
    }
}

#[derive(Debug, thiserror::Error)]
enum CatalogPublishError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CatalogPublishError> for Problem {
    fn from(error: CatalogPublishError) -> Self {
        match error {
            CatalogPublishError::Port(error) => Self::port(&error),
        }
    }
}
