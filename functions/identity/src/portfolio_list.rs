//! Lists what the caller has on a shelf, all of it: a shelf is bounded and small.

use rollcall_domain::portfolio::Shelf;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::portfolio::PortfolioReader;
use rollcall_store::{Capability, PortError};

use crate::portfolio_view::{ShelfView, shelf};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "portfolio-list",
    purpose: "Lists what the caller shows of their work.",
    triggers: &[
        Trigger::Http(Route { method: Method::Get, path: "/users/me/work" }),
        Trigger::Http(Route { method: Method::Get, path: "/users/me/portfolio" }),
    ],
    grants: &[PortfolioReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<ShelfView>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    shelves: PortfolioReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { shelves: startup.capability()? })
    }
}

struct Input(Shelf);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        shelf(request).map(Self)
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    Input(shelf): Input,
) -> Result<Response, PortfolioListError> {
    let pieces = ports.shelves.list(&caller.user, shelf).await?;
    Ok(Response::json(200, &ShelfView::from(pieces)))
}

#[derive(Debug, thiserror::Error)]
enum PortfolioListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PortfolioListError> for Problem {
    fn from(error: PortfolioListError) -> Self {
        match error {
            PortfolioListError::Port(error) => Self::port(&error),
        }
    }
}
