//! Gives somebody a badge, of those of which the catalogue says that an instructor gives them; the
//! others are awarded for what people do. Giving it again changes nothing and answers the badge as it
//! was given first, so a repetition of a request whose process died before its answer was kept has no
//! second effect.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::badge::{Badge, BadgeKind, BadgeName};
use rollcall_domain::catalog::BadgeRule;
use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::slug::Slug;
use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::badges::{BadgeGiver, Given};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::{Capability, PortError};

use crate::problem::OWN_WORK;
use crate::target::slug;
use crate::view::BadgeView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "badge-give",
    purpose: "Gives somebody a badge that instructors give.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/users/{id}/badges/{slug}",
    })],
    access: Access::Role(Role::Instructor),
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, BadgeGiver::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<BadgeView>),
        problems: &[&NOT_FOUND, &CONFLICT, &OWN_WORK],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    catalog: CatalogReader,
    badges: BadgeGiver,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, badges) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, badges, random: startup.random() })
    }
}

/// Whose badge, and which; what cannot be one is not found, as what does not exist.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) user: UserId,
    pub(crate) badge: Slug,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let user = request.path_parameter("id").parse();
        let user = user.map_err(|_invalid| Problem::new(&NOT_FOUND))?;
        Ok(Self { user, badge: slug(request)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { user, badge }: Input,
) -> Result<Response, BadgeGiveError> {
    let now = context.now;
    let catalog = ports.catalog.load(now).await?;
    let terms = catalog.badge(&badge).filter(|terms| terms.rule == BadgeRule::ByHand);
    let terms = terms.ok_or(BadgeGiveError::NotFound)?;
    if user == caller.user {
        return Err(BadgeGiveError::OwnWork);
    }
    let name = BadgeName { kind: BadgeKind::ByHand, slug: terms.slug.clone() };
    let given_by = Some(caller.user.clone());
    let new = Badge { name, earned_at: now, given_by, is_history: false };
    let action = Action::BadgeGranted { badge };
    let told = (Actor::User(caller.user.clone()), action, Subject::User(user.clone()));
    let entry = Entry::new(told, &context.trace_id, now, &*ports.random);
    let given = match ports.badges.give(&user, &new, &entry).await? {
        Given::Now => {
            tracing::info!(user.id = %user, operator = %caller.user, "a badge was given");
            new
        }
        // Taken back at this very moment.
        Given::Before => {
            let found = ports.badges.find(&user, &new.name).await?;
            found.ok_or(BadgeGiveError::TakenBack)?
        }
        Given::ToNobody => return Err(BadgeGiveError::NotFound),
    };
    Ok(Response::json(200, &BadgeView::new(&catalog, given)))
}

#[derive(Debug, thiserror::Error)]
enum BadgeGiveError {
    #[error("no such user, or no such badge that instructors give")]
    NotFound,
    #[error("nobody gives themselves a badge")]
    OwnWork,
    #[error("the badge was taken back at the same moment")]
    TakenBack,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<BadgeGiveError> for Problem {
    fn from(error: BadgeGiveError) -> Self {
        match error {
            BadgeGiveError::NotFound => Self::new(&NOT_FOUND),
            BadgeGiveError::OwnWork => Self::new(&OWN_WORK),
            BadgeGiveError::TakenBack => Self::new(&CONFLICT),
            BadgeGiveError::Port(error) => Self::port(&error),
        }
    }
}
