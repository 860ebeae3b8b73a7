//! Shows what others may see of a user: everybody what is public, and who is signed in what is for
//! members, too.
//!
//! Users see their own profile here as any member does; all of it is at `/users/me`. A profile that
//! the caller may not see, a name that is held after a renaming and a name that nobody has look
//! alike. The number of writes is not shown, so nobody can count a user's sign-ins by entity tags.

use rollcall_domain::profile::{Audience, PublicProfile};
use rollcall_domain::time::date;
use rollcall_domain::username::Username;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::UserReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::user_view::{ContactsView, PhysicalView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-public",
    purpose: "Shows what others may see of a user.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users/{username}" })],
    grants: &[UserReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<PublicView>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::optional(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPTIONAL
};

struct Ports {
    users: UserReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()? })
    }
}

struct Input {
    username: Username,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let username = request.path_parameter("username").parse();
        Ok(Self { username: username.map_err(|_error| Problem::new(&NOT_FOUND))? })
    }
}

/// What others see of a user. What they may not see looks like what is not there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PublicProfile")]
pub(crate) struct PublicView {
    /// The name by which the user is found.
    username: String,
    /// Given name.
    given_name: Option<String>,
    /// Family name.
    family_name: Option<String>,
    /// What the user writes about themselves, as given. It is text and never mark-up.
    about: Option<String>,
    /// Where the picture is, by https.
    avatar_url: Option<String>,
    /// Categories, in the user's order.
    categories: Vec<String>,
    /// Skills, in the user's order.
    skills: Vec<String>,
    /// Languages, in the user's order.
    languages: Vec<String>,
    /// Age in full years.
    age: Option<u16>,
    /// What the user looks like.
    physical: PhysicalView,
    /// How to reach the user.
    contacts: ContactsView,
}

async fn handle(
    ports: &Ports,
    caller: Option<&Caller>,
    context: &Context,
    input: Input,
) -> Result<Response, UserPublicError> {
    let user = ports.users.find_by_username(&input.username).await?;
    let audience = caller.map_or(Audience::Anybody, |_| Audience::Member);
    let today = date(context.now);
    let shown = user.and_then(|user| user.shown_to(audience, today));
    let shown = shown.ok_or(UserPublicError::NotFound)?;
    Ok(Response::json(200, &PublicView::from(shown)))
}

impl From<PublicProfile> for PublicView {
    fn from(profile: PublicProfile) -> Self {
        Self {
            username: profile.username.to_string(),
            given_name: profile.given_name,
            family_name: profile.family_name,
            about: profile.about,
            avatar_url: profile.avatar_url,
            categories: profile.categories,
            skills: profile.skills,
            languages: profile.languages,
            age: profile.age,
            physical: profile.physical.into(),
            contacts: profile.contacts.into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum UserPublicError {
    #[error("nobody whom the caller may see goes by this name")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UserPublicError> for Problem {
    fn from(error: UserPublicError) -> Self {
        match error {
            UserPublicError::NotFound => Self::new(&NOT_FOUND),
            UserPublicError::Port(error) => Self::port(&error),
        }
    }
}
