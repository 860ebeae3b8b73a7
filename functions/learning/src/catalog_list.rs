//! Lists the published pathways or courses, for everybody.
//!
//! The whole list is one page: the catalogue is bounded and small. The answer carries an entity tag
//! and may be cached for half a minute, the bound within which all instances agree on a publication.

use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::{CACHE_SECONDS, CatalogReader};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::{CourseView, PathwayView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "catalog-list",
    purpose: "Lists the published pathways or courses.",
    triggers: &[
        Trigger::Http(Route { method: Method::Get, path: "/pathways" }),
        Trigger::Http(Route { method: Method::Get, path: "/courses" }),
    ],
    grants: &[CatalogReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    catalog: CatalogReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()? })
    }
}

#[derive(Debug)]
struct Input {
    pathways: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self { pathways: request.route().ends_with("/pathways") })
    }
}

/// The published entries of one kind, and the version of the catalogue they are of.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The version of the catalogue.
    version: String,
    /// The entries.
    #[serde(flatten)]
    entries: Entries,
}

/// The published entries of one kind, by slug.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Entries {
    /// All pathways.
    Pathways(Vec<PathwayView>),
    /// All courses.
    Courses(Vec<CourseView>),
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CatalogListError> {
    let catalog = ports.catalog.load(context.now).await?;
    let entries = if input.pathways {
        Entries::Pathways(catalog.pathways().map(PathwayView::from).collect())
    } else {
        Entries::Courses(
            catalog.courses().map(|course| CourseView::new(&catalog, course)).collect(),
        )
    };
    let output = Output { version: catalog.version().to_string(), entries };
    Ok(Response::json(200, &output).cacheable(CACHE_SECONDS))
}

#[derive(Debug, thiserror::Error)]
enum CatalogListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CatalogListError> for Problem {
    fn from(error: CatalogListError) -> Self {
        match error {
            CatalogListError::Port(error) => Self::port(&error),
        }
    }
}
