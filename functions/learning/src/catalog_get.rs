//! Shows one published pathway, course or module, for everybody.

use rollcall_domain::slug::Slug;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::{CACHE_SECONDS, CatalogReader};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::target::slug;
use crate::view::{CourseView, ModuleView, PathwayView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "catalog-get",
    purpose: "Shows one published pathway, course or module.",
    triggers: &[
        Trigger::Http(Route { method: Method::Get, path: "/pathways/{slug}" }),
        Trigger::Http(Route { method: Method::Get, path: "/courses/{slug}" }),
        Trigger::Http(Route { method: Method::Get, path: "/modules/{slug}" }),
    ],
    grants: &[CatalogReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND],
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
    kind: Kind,
    slug: Slug,
}

#[derive(Debug)]
enum Kind {
    Pathway,
    Course,
    Module,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let kind = match request.route() {
            "GET /pathways/{slug}" => Kind::Pathway,
            "GET /courses/{slug}" => Kind::Course,
            _ => Kind::Module,
        };
        Ok(Self { kind, slug: slug(request)? })
    }
}

/// One published entry, and the version of the catalogue it is of.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The version of the catalogue.
    version: String,
    /// The entry.
    #[serde(flatten)]
    entry: Entry,
}

/// One published entry.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Entry {
    /// A pathway.
    Pathway(PathwayView),
    /// A course.
    Course(CourseView),
    /// A module.
    Module(ModuleView),
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CatalogGetError> {
    let catalog = ports.catalog.load(context.now).await?;
    let slug = &input.slug;
    let entry = match input.kind {
        Kind::Pathway => catalog.pathway(slug).map(|entry| Entry::Pathway(entry.into())),
        Kind::Course => {
            catalog.course(slug).map(|entry| Entry::Course(CourseView::new(&catalog, entry)))
        }
        Kind::Module => match catalog.module(slug) {
            Some(module) => {
                let text = ports.catalog.text(catalog.version(), slug).await?.unwrap_or_default();
                Some(Entry::Module(ModuleView::new(module, text)))
            }
            None => None,
        },
    };
    let entry = entry.ok_or(CatalogGetError::NotFound)?;
    let output = Output { version: catalog.version().to_string(), entry };
    Ok(Response::json(200, &output).cacheable(CACHE_SECONDS))
}

#[derive(Debug, thiserror::Error)]
enum CatalogGetError {
    #[error("no such entry")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CatalogGetError> for Problem {
    fn from(error: CatalogGetError) -> Self {
        match error {
            CatalogGetError::NotFound => Self::new(&NOT_FOUND),
            CatalogGetError::Port(error) => Self::port(&error),
        }
    }
}
