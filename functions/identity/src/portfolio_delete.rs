//! Takes a piece of work from one of the caller's shelves. What is not there, and what is somebody
//! else's, looks alike.

use rollcall_domain::id::PieceId;
use rollcall_domain::portfolio::Shelf;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::portfolio::PieceRemover;
use rollcall_store::{Capability, PortError};

use crate::portfolio_view::{piece, shelf};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "portfolio-delete",
    purpose: "Takes a piece of work from one of the caller's shelves.",
    triggers: &[
        Trigger::Http(Route { method: Method::Delete, path: "/users/me/work/{id}" }),
        Trigger::Http(Route { method: Method::Delete, path: "/users/me/portfolio/{id}" }),
    ],
    grants: &[PieceRemover::GRANTS],
    operation: Operation { problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    pieces: PieceRemover,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { pieces: startup.capability()? })
    }
}

struct Input {
    shelf: Shelf,
    piece: PieceId,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self { shelf: shelf(request)?, piece: piece(request)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    Input { shelf, piece }: Input,
) -> Result<Response, PortfolioDeleteError> {
    if !ports.pieces.remove(&caller.user, shelf, &piece).await? {
        return Err(PortfolioDeleteError::NotFound);
    }
    Ok(Response::no_content())
}

#[derive(Debug, thiserror::Error)]
enum PortfolioDeleteError {
    #[error("no such piece")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PortfolioDeleteError> for Problem {
    fn from(error: PortfolioDeleteError) -> Self {
        match error {
            PortfolioDeleteError::NotFound => Self::new(&NOT_FOUND),
            PortfolioDeleteError::Port(error) => Self::port(&error),
        }
    }
}
