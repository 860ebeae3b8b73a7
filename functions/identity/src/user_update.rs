//! Changes the caller's own profile by a merge patch (RFC 7396), for the version that the caller saw:
//! `If-Match` is required, so no change undoes another that its sender never read.
//!
//! Every wrong field is named, and nothing is changed by halves: user and claims on usernames are one
//! transaction. Nothing is sent to the CRM here; the table's stream takes care. E-mail address, roles
//! and whatever else the server alone decides are no fields of the patch, and unknown fields are
//! refused.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use rollcall_domain::profile::{Change, ContactsPatch, FieldRefusal, Patch, PhysicalPatch};
use rollcall_domain::time::date;
use rollcall_domain::username::NamingRefusal;
use rollcall_edge::condition::{IfMatch, PRECONDITION_FAILED, PRECONDITION_REQUIRED};
use rollcall_edge::problem::{CONFLICT, INVALID, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, FieldError, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::ProfileWriter;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::user_view::{self, ProfileView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-update",
    purpose: "Changes the caller's own profile.",
    triggers: &[Trigger::Http(Route { method: Method::Patch, path: "/users/me" })],
    grants: &[ProfileWriter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<ProfileView>),
        problems: &[
            &UNAUTHENTICATED,
            &USERNAME_TAKEN,
            &USERNAME_RENAMED_LATELY,
            &CONFLICT,
            &PRECONDITION_FAILED,
            &INVALID,
            &PRECONDITION_REQUIRED,
        ],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// Somebody else has the name, or had it until lately.
static USERNAME_TAKEN: ProblemKind = ProblemKind {
    code: "username-taken",
    status: 409,
    title: "The username is taken.",
    advice: "Choose another one.",
};

/// The name was changed less than a week ago.
static USERNAME_RENAMED_LATELY: ProblemKind = ProblemKind {
    code: "username-renamed-lately",
    status: 409,
    title: "A username can be changed once a week.",
    advice: "Try again after the time that `errors` names.",
};

/// How often a change is decided anew when others claim the same username at the same moment.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    profiles: ProfileWriter,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { profiles: startup.capability()? })
    }
}

struct Input {
    if_match: IfMatch,
    patch: Patch,
}

/// A merge patch (RFC 7396): what is left out stays, null removes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProfilePatch")]
struct Body {
    /// The name by which others find the user: 3 to 30 of a to z, digits and underscores. Can be
    /// changed once a week and not removed; the old name is held for 30 days.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    username: Change<String>,
    /// Given name, up to 100 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    given_name: Change<String>,
    /// Family name, up to 100 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    family_name: Change<String>,
    /// What the user writes about themselves, up to 2 000 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    about: Change<String>,
    /// Where the picture is: an https URL of up to 2 048 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    avatar_url: Change<String>,
    /// Up to 10 categories, all of them.
    #[schemars(with = "Option<Vec<String>>")]
    #[serde(deserialize_with = "change")]
    categories: Change<Vec<String>>,
    /// Up to 50 skills, all of them.
    #[schemars(with = "Option<Vec<String>>")]
    #[serde(deserialize_with = "change")]
    skills: Change<Vec<String>>,
    /// Up to 20 languages, all of them.
    #[schemars(with = "Option<Vec<String>>")]
    #[serde(deserialize_with = "change")]
    languages: Change<Vec<String>>,
    /// The date of birth, `YYYY-MM-DD`.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    birth_date: Change<String>,
    /// What the user looks like; members that are left out stay, null removes one or all.
    #[schemars(with = "Option<PhysicalBody>")]
    #[serde(deserialize_with = "object")]
    physical: Change<PhysicalBody>,
    /// How to reach the user; members that are left out stay, null removes one or all.
    #[schemars(with = "Option<ContactsBody>")]
    #[serde(deserialize_with = "object")]
    contacts: Change<ContactsBody>,
    /// `public`, `members` or `private`, by field or for `profile` as a whole; null is the default.
    #[schemars(with = "Option<BTreeMap<String, Option<String>>>")]
    #[serde(deserialize_with = "change")]
    visibility: Change<BTreeMap<String, Option<String>>>,
}

/// What the user looks like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "PhysicalPatch")]
struct PhysicalBody {
    /// Height in centimetres, 50 to 260.
    #[schemars(with = "Option<u16>")]
    #[serde(deserialize_with = "change")]
    height_cm: Change<u16>,
    /// Colour of the hair, up to 50 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    hair_colour: Change<String>,
    /// Colour of the eyes, up to 50 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    eye_colour: Change<String>,
}

/// How to reach the user.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ContactsPatch")]
struct ContactsBody {
    /// Telephone number: a plus and 7 to 15 digits, country code first (ITU-T E.164).
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    phone: Change<String>,
    /// A page of the user's elsewhere: an https URL of up to 2 048 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    website: Change<String>,
    /// Where the user lives or works, up to 100 characters.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    city: Change<String>,
    /// The country's code of two letters (ISO 3166-1).
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "change")]
    country: Change<String>,
}

/// A member that is there: null or an object, and no array, which the parser would take for an
/// object whose members come without their names.
fn object<'de, D, T>(deserializer: D) -> Result<Change<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Change<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Change::Remove)
    }

    fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Self::Value, M::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Change::Set)
    }
}

/// A member that is there: null or a value.
fn change<'de, D, T>(deserializer: D) -> Result<Change<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.map_or(Change::Remove, Change::Set))
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let if_match = IfMatch::from_request(request)?;
        // The parser would take an array for a patch whose members come without their names.
        if request.body().trim_ascii_start().starts_with(b"[") {
            return Err(Problem::invalid("", "invalid", &"must be an object"));
        }
        Ok(Self { if_match, patch: Patch::from(request.json::<Body>()?) })
    }
}

impl From<Body> for Patch {
    fn from(body: Body) -> Self {
        Self {
            username: body.username,
            given_name: body.given_name,
            family_name: body.family_name,
            about: body.about,
            avatar_url: body.avatar_url,
            categories: body.categories,
            skills: body.skills,
            languages: body.languages,
            birth_date: body.birth_date,
            physical: nested(body.physical),
            contacts: nested(body.contacts),
            visibility: body.visibility,
        }
    }
}

fn nested<T, U: From<T>>(change: Change<T>) -> Change<U> {
    match change {
        Change::Keep => Change::Keep,
        Change::Remove => Change::Remove,
        Change::Set(members) => Change::Set(members.into()),
    }
}

impl From<PhysicalBody> for PhysicalPatch {
    fn from(body: PhysicalBody) -> Self {
        let PhysicalBody { height_cm, hair_colour, eye_colour } = body;
        Self { height_cm, hair_colour, eye_colour }
    }
}

impl From<ContactsBody> for ContactsPatch {
    fn from(body: ContactsBody) -> Self {
        let ContactsBody { phone, website, city, country } = body;
        Self { phone, website, city, country }
    }
}

fn field_error(refusal: FieldRefusal) -> FieldError {
    let FieldRefusal { pointer, reason } = refusal;
    FieldError { pointer, code: reason.code(), detail: reason.to_string() }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, UserUpdateError> {
    let Input { if_match, patch } = input;
    let edit = patch.check(date(context.now)).map_err(UserUpdateError::Fields)?;
    for _attempt in 0..ATTEMPTS_MAX {
        let user = ports.profiles.find(&caller.user).await?.ok_or(UserUpdateError::Gone)?;
        if_match.check(user.profile_version).map_err(UserUpdateError::Condition)?;
        let claims = ports.profiles.claims(&user, &edit).await?;
        let Some(edited) = user.edit(&edit, &claims, context.now)? else {
            return Ok(user_view::answer(&user, context.now));
        };
        match ports.profiles.store(&edited, &context.trace_id).await {
            Ok(()) => return Ok(user_view::answer(&edited.user, context.now)),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(UserUpdateError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum UserUpdateError {
    #[error("fields are wrong")]
    Fields(Vec<FieldRefusal>),
    #[error("the account is gone")]
    Gone,
    #[error("the request is about another version")]
    Condition(Problem),
    #[error(transparent)]
    Naming(#[from] NamingRefusal),
    #[error("too many claims of one username")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UserUpdateError> for Problem {
    fn from(error: UserUpdateError) -> Self {
        match error {
            UserUpdateError::Fields(refusals) => {
                let errors = refusals.into_iter().map(field_error).collect();
                Self { errors, ..Self::new(&INVALID) }
            }
            UserUpdateError::Gone => Self::new(&UNAUTHENTICATED),
            UserUpdateError::Condition(problem) => problem,
            UserUpdateError::Naming(refusal) => {
                let kind = match refusal {
                    NamingRefusal::Taken => &USERNAME_TAKEN,
                    NamingRefusal::TooSoon { .. } => &USERNAME_RENAMED_LATELY,
                };
                let (pointer, detail) = ("/username".to_owned(), refusal.to_string());
                let errors = vec![FieldError { pointer, code: kind.code, detail }];
                Self { errors, ..Self::new(kind) }
            }
            UserUpdateError::Contended => Self::new(&CONFLICT),
            UserUpdateError::Port(error) => Self::port(&error),
        }
    }
}
