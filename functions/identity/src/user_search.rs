//! Finds people by what they show to members: the beginning of their username, a skill, a category.
//!
//! The index leads to candidates; who of them is an answer is decided by the user as they are now,
//! so nobody is found by what they have just hidden. Candidates are read until the page is full,
//! never cut before they are filtered. Only a question that asks for several things at once, of
//! which hardly anybody has both, may get a shorter page, and then with a cursor that goes on.

use rollcall_domain::flag::USER_SEARCH;
use rollcall_domain::profile::PublicProfile;
use rollcall_domain::search::{InvalidQuestion, Question};
use rollcall_edge::problem::INVALID;
use rollcall_edge::{
    Caller, Context, Cursors, Flags, FromRequest, HttpRequest, Page, Problem, Response,
};
use rollcall_runtime::declaration::{Operation, Parameter, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::search::UserSearcher;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-search",
    purpose: "Finds people by username, skill and category.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users" })],
    grants: &[UserSearcher::GRANTS, Cursors::GRANTS, Flags::GRANTS],
    operation: Operation {
        query: PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID, &FEATURE_CLOSED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

/// The feature is not open for the caller.
pub static FEATURE_CLOSED: ProblemKind = ProblemKind {
    code: "feature-closed",
    status: 403,
    title: "This is not open for you yet.",
    advice: "Nothing has to be done: it opens by itself.",
};

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "query", description: "The beginning of a username." },
    Parameter { name: "skill", description: "A skill, whole, in any case of letters." },
    Parameter { name: "category", description: "A category, whole, in any case of letters." },
    Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
    Parameter { name: "cursor", description: "Where to go on: `cursor` of the page before." },
];

/// Candidates that are read at once when most of them may not be answers.
const CANDIDATES_MAX: usize = 100;
/// How often candidates are read for one page.
const READINGS_MAX: u32 = 10;

struct Ports {
    users: UserSearcher,
    cursors: Cursors,
    flags: Flags,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            cursors: Cursors::new(startup)?,
            flags: Flags::new(startup)?,
        })
    }
}

#[derive(Debug)]
struct Input {
    question: Question,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let page = Page::from_request(request)?;
        let asked = ["query", "skill", "category"].map(|name| request.query_parameter(name));
        let [prefix, skill, category] = &asked;
        let question = Question::new(prefix.as_deref(), skill.as_deref(), category.as_deref());
        Ok(Self { question: question.map_err(refused)?, page })
    }
}

fn refused(error: InvalidQuestion) -> Problem {
    let (pointer, code) = match error {
        InvalidQuestion::Empty => ("query:query", "missing"),
        InvalidQuestion::Prefix => ("query:query", "invalid-username"),
        InvalidQuestion::Skill => ("query:skill", "invalid-text"),
        InvalidQuestion::Category => ("query:category", "invalid-text"),
    };
    Problem::invalid(pointer, code, &error)
}

/// A page of people.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundUsers")]
struct Output {
    /// By username.
    users: Vec<FoundView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// Somebody who was found, with what members see.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundUser")]
struct FoundView {
    /// The name by which the whole profile is found.
    username: String,
    /// Given name.
    given_name: Option<String>,
    /// Family name.
    family_name: Option<String>,
    /// Where the picture is, by https.
    avatar_url: Option<String>,
    /// Categories, in the user's order.
    categories: Vec<String>,
    /// Skills, in the user's order.
    skills: Vec<String>,
}

impl From<PublicProfile> for FoundView {
    fn from(profile: PublicProfile) -> Self {
        Self {
            username: profile.username.to_string(),
            given_name: profile.given_name,
            family_name: profile.family_name,
            avatar_url: profile.avatar_url,
            categories: profile.categories,
            skills: profile.skills,
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { question, page }: Input,
) -> Result<Response, UserSearchError> {
    if !ports.flags.is_open(&USER_SEARCH, Some(caller), context.now).await {
        return Err(UserSearchError::Closed);
    }
    let cursors = ports.cursors.filtered(&question.canonical());
    let position = cursors.open(page.cursor.as_deref(), caller, context).await?;
    let (found, position) = find(ports, context, &question, page.limit, position).await?;
    let users = found.into_iter().map(FoundView::from).collect();
    let cursor = cursors.seal(position.as_deref(), caller, context).await?;
    Ok(Response::json(200, &Output { users, cursor }))
}

/// Up to `limit` people behind a position, and the position behind the last of them; none when
/// nobody comes behind.
async fn find(
    ports: &Ports,
    context: &Context,
    question: &Question,
    limit: usize,
    mut position: Option<String>,
) -> Result<(Vec<PublicProfile>, Option<String>), PortError> {
    let mut found = Vec::new();
    for _reading in 0..READINGS_MAX {
        let missing = limit.saturating_sub(found.len());
        let wanted = if question.is_single() { missing } else { CANDIDATES_MAX };
        let candidates = ports.users.candidates(question, position.as_deref(), wanted).await?;
        let mut left = candidates.users.len();
        for (behind, user) in candidates.users {
            left -= 1;
            position = Some(behind);
            found.extend(user.and_then(|user| question.answered_by(&user, context.now)));
            if found.len() == limit {
                let more = candidates.more || left > 0;
                return Ok((found, position.filter(|_| more)));
            }
        }
        if !candidates.more {
            return Ok((found, None));
        }
    }
    Ok((found, position))
}

#[derive(Debug)]
enum UserSearchError {
    Closed,
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for UserSearchError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for UserSearchError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<UserSearchError> for Problem {
    fn from(error: UserSearchError) -> Self {
        match error {
            UserSearchError::Closed => Self::new(&FEATURE_CLOSED),
            UserSearchError::Cursor(problem) => problem,
            UserSearchError::Port(error) => Self::port(&error),
        }
    }
}
