//! Says something else about a piece of work, for the version that the caller saw: `If-Match` is
//! required, so no change undoes another that its sender never read.

use rollcall_domain::id::PieceId;
use rollcall_domain::portfolio::{Content, Shelf};
use rollcall_edge::condition::{IfMatch, PRECONDITION_FAILED, PRECONDITION_REQUIRED, entity_tag};
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::portfolio::PieceUpdater;
use rollcall_store::{Capability, PortError, PortErrorClass};

use crate::portfolio_view::{Body, PieceView, content, piece, shelf};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "portfolio-update",
    purpose: "Says something else about a piece of the caller's work.",
    triggers: &[
        Trigger::Http(Route { method: Method::Put, path: "/users/me/work/{id}" }),
        Trigger::Http(Route { method: Method::Put, path: "/users/me/portfolio/{id}" }),
    ],
    grants: &[PieceUpdater::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<PieceView>),
        problems: &[&NOT_FOUND, &PRECONDITION_FAILED, &INVALID, &PRECONDITION_REQUIRED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    pieces: PieceUpdater,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { pieces: startup.capability()? })
    }
}

struct Input {
    shelf: Shelf,
    piece: PieceId,
    if_match: IfMatch,
    content: Content,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self {
            shelf: shelf(request)?,
            piece: piece(request)?,
            if_match: IfMatch::from_request(request)?,
            content: content(request)?,
        })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, PortfolioUpdateError> {
    let owner = &caller.user;
    let found = ports.pieces.find(owner, input.shelf, &input.piece).await?;
    let found = found.ok_or(PortfolioUpdateError::NotFound)?;
    input.if_match.check(found.version).map_err(PortfolioUpdateError::Changed)?;
    let piece = match found.changed(input.content) {
        None => found,
        Some(changed) => {
            let stored = ports.pieces.store(owner, &changed, context.now, &context.trace_id).await;
            stored.map_err(|error| match error.class {
                PortErrorClass::Conflict => {
                    PortfolioUpdateError::Changed(Problem::new(&PRECONDITION_FAILED))
                }
                PortErrorClass::Throttled
                | PortErrorClass::Unavailable
                | PortErrorClass::Rejected
                | PortErrorClass::Corrupt => PortfolioUpdateError::Port(error),
            })?;
            changed
        }
    };
    let tag = entity_tag(piece.version);
    Ok(Response::json(200, &PieceView::from(piece)).with_header("etag", &tag))
}

#[derive(Debug, thiserror::Error)]
enum PortfolioUpdateError {
    #[error("no such piece")]
    NotFound,
    #[error("the request is about another version")]
    Changed(Problem),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PortfolioUpdateError> for Problem {
    fn from(error: PortfolioUpdateError) -> Self {
        match error {
            PortfolioUpdateError::NotFound => Self::new(&NOT_FOUND),
            PortfolioUpdateError::Changed(problem) => problem,
            PortfolioUpdateError::Port(error) => Self::port(&error),
        }
    }
}
