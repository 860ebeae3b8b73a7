//! Shows what somebody has on a shelf to whoever may see their profile. A profile that the caller
//! may not see and a name that nobody has look alike.

use rollcall_domain::portfolio::Shelf;
use rollcall_domain::profile::Audience;
use rollcall_domain::time::date;
use rollcall_domain::username::Username;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::portfolio::PortfolioReader;
use rollcall_store::users::UserReader;
use rollcall_store::{Capability, PortError};

use crate::portfolio_view::{ShelfView, shelf};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "portfolio-public",
    purpose: "Shows what somebody shows of their work.",
    triggers: &[
        Trigger::Http(Route { method: Method::Get, path: "/users/{username}/work" }),
        Trigger::Http(Route { method: Method::Get, path: "/users/{username}/portfolio" }),
    ],
    grants: &[UserReader::GRANTS, PortfolioReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<ShelfView>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::optional(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPTIONAL
};

struct Ports {
    users: UserReader,
    shelves: PortfolioReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()?, shelves: startup.capability()? })
    }
}

struct Input {
    username: Username,
    shelf: Shelf,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let username = request.path_parameter("username").parse();
        let username = username.map_err(|_error| Problem::new(&NOT_FOUND))?;
        Ok(Self { username, shelf: shelf(request)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: Option<&Caller>,
    context: &Context,
    input: Input,
) -> Result<Response, PortfolioPublicError> {
    let user = ports.users.find_by_username(&input.username).await?;
    let audience = caller.map_or(Audience::Anybody, |_| Audience::Member);
    let today = date(context.now);
    let user = user.filter(|user| user.shown_to(audience, today).is_some());
    let user = user.ok_or(PortfolioPublicError::NotFound)?;
    let pieces = ports.shelves.list(&user.id, input.shelf).await?;
    Ok(Response::json(200, &ShelfView::from(pieces)))
}

#[derive(Debug, thiserror::Error)]
enum PortfolioPublicError {
    #[error("nobody whom the caller may see goes by this name")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PortfolioPublicError> for Problem {
    fn from(error: PortfolioPublicError) -> Self {
        match error {
            PortfolioPublicError::NotFound => Self::new(&NOT_FOUND),
            PortfolioPublicError::Port(error) => Self::port(&error),
        }
    }
}
