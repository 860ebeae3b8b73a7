//! Puts a piece of work on one of the caller's shelves.
//!
//! The piece's id follows from the `Idempotency-Key`, if there is one, and the piece is stored if it is
//! not there yet, together with the count that bounds the shelf. So a repetition of a request whose
//! process died before its answer was kept finds its own piece and answers that.

use rollcall_domain::portfolio::{Content, Piece, Shelf};
use rollcall_edge::condition::entity_tag;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::portfolio::{PieceCreator, Placed};
use rollcall_store::{Capability, PortError};

use crate::portfolio_view::{Body, PieceView, content, shelf};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "portfolio-create",
    purpose: "Puts a piece of work on one of the caller's shelves.",
    triggers: &[
        Trigger::Http(Route { method: Method::Post, path: "/users/me/work" }),
        Trigger::Http(Route { method: Method::Post, path: "/users/me/portfolio" }),
    ],
    idempotency: Idempotency::Optional,
    grants: &[PieceCreator::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 201,
        response: Some(schema::<PieceView>),
        problems: &[&INVALID, &CONFLICT, &SHELF_FULL],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// There is no room.
pub static SHELF_FULL: ProblemKind = ProblemKind {
    code: "shelf-full",
    status: 409,
    title: "There are fifty pieces already.",
    advice: "Remove one, and send the request again with a new Idempotency-Key.",
};

struct Ports {
    pieces: PieceCreator,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { pieces: startup.capability()? })
    }
}

struct Input {
    shelf: Shelf,
    key: Option<String>,
    content: Content,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let key = request.header("idempotency-key").map(ToOwned::to_owned);
        Ok(Self { shelf: shelf(request)?, key, content: content(request)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { shelf, key, content }: Input,
) -> Result<Response, PortfolioCreateError> {
    // No two requests have one id.
    let key = key.as_deref().unwrap_or(&context.request_id);
    let new = Piece::new(&caller.user, shelf, key, content, context.now);
    let piece = match ports.pieces.create(&caller.user, &new, &context.trace_id).await? {
        Placed::New => new,
        Placed::Again => {
            let found = ports.pieces.find(&caller.user, shelf, &new.id).await?;
            found.ok_or(PortfolioCreateError::Gone)?
        }
        Placed::Full => return Err(PortfolioCreateError::Full),
    };
    let tag = entity_tag(piece.version);
    Ok(Response::json(201, &PieceView::from(piece)).with_header("etag", &tag))
}

#[derive(Debug, thiserror::Error)]
enum PortfolioCreateError {
    #[error("the piece was removed at the same time")]
    Gone,
    #[error("the shelf is full")]
    Full,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PortfolioCreateError> for Problem {
    fn from(error: PortfolioCreateError) -> Self {
        match error {
            PortfolioCreateError::Gone => Self::new(&CONFLICT),
            PortfolioCreateError::Full => Self::new(&SHELF_FULL),
            PortfolioCreateError::Port(error) => Self::port(&error),
        }
    }
}
