//! How users see their own profile.

use std::collections::BTreeMap;

use rollcall_domain::profile::{Contacts, Field, Physical, age};
use rollcall_domain::time::{Timestamp, date};
use rollcall_domain::user::User;
use rollcall_domain::username::renamable_from;
use rollcall_edge::Response;
use rollcall_edge::condition::entity_tag;
use schemars::JsonSchema;
use serde::Serialize;

/// A user's own profile.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
pub(crate) struct ProfileView {
    /// The user.
    user_id: String,
    /// The name by which others find the user, once chosen.
    username: Option<String>,
    /// From when the username may be changed again (RFC 3339, UTC); null when it was never changed.
    username_renamable_from: Option<String>,
    /// The verified e-mail address, if there is one; nobody else sees it.
    email: Option<String>,
    /// Given name; may be empty.
    given_name: String,
    /// Family name; may be empty.
    family_name: String,
    /// What the user writes about themselves, as given; may be empty. It is text and never mark-up.
    about: String,
    /// Where the picture is, by https.
    avatar_url: Option<String>,
    /// Categories, in the user's order.
    categories: Vec<String>,
    /// Skills, in the user's order.
    skills: Vec<String>,
    /// Languages, in the user's order.
    languages: Vec<String>,
    /// The date of birth, `YYYY-MM-DD`; nobody else sees it.
    birth_date: Option<String>,
    /// The age in full years, derived from the date of birth.
    age: Option<u16>,
    /// What the user looks like.
    physical: PhysicalView,
    /// How to reach the user.
    contacts: ContactsView,
    /// What the user pays for: `free` or `plus`. Nobody changes it here.
    plan: &'static str,
    /// Whether the organisation vouches for who the user is. Nobody changes it here.
    verified: bool,
    /// Whether the CRM hears of the user; changed at `/users/me/crm-sync`.
    crm_sync: bool,
    /// Who sees what: `public`, `members` or `private`, for each field and for `profile` as a whole.
    /// Nothing is seen by more people than the profile is.
    visibility: BTreeMap<&'static str, &'static str>,
    /// When the account was made (RFC 3339, UTC).
    joined_at: String,
    /// When the account is erased, if its user asked for that; null otherwise.
    erase_at: Option<String>,
}

/// What somebody looks like.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Physical")]
pub(crate) struct PhysicalView {
    /// Height in centimetres.
    height_cm: Option<u16>,
    /// Colour of the hair, in the user's words.
    hair_colour: Option<String>,
    /// Colour of the eyes, in the user's words.
    eye_colour: Option<String>,
}

/// How to reach somebody.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Contacts")]
pub(crate) struct ContactsView {
    /// Telephone number (ITU-T E.164).
    phone: Option<String>,
    /// A page of the user's elsewhere, by https.
    website: Option<String>,
    /// Where the user lives or works.
    city: Option<String>,
    /// The country (ISO 3166-1 alpha-2).
    country: Option<String>,
}

impl From<Physical> for PhysicalView {
    fn from(physical: Physical) -> Self {
        let Physical { height_cm, hair_colour, eye_colour } = physical;
        Self { height_cm, hair_colour, eye_colour }
    }
}

impl From<Contacts> for ContactsView {
    fn from(contacts: Contacts) -> Self {
        let Contacts { phone, website, city, country } = contacts;
        Self { phone, website, city, country }
    }
}

/// The profile of `user` with the entity tag that a change of it has to name.
pub(crate) fn answer(user: &User, now: Timestamp) -> Response {
    Response::json(200, &ProfileView::new(user, now))
        .with_header("etag", &entity_tag(user.profile_version))
}

impl ProfileView {
    fn new(user: &User, now: Timestamp) -> Self {
        let profile = user.profile.clone();
        let visibility = Field::ALL.map(|field| {
            let visibility = profile.visibility(field);
            (field.as_str(), visibility.as_str())
        });
        Self {
            user_id: user.id.to_string(),
            username: user.username.as_ref().map(ToString::to_string),
            username_renamable_from: user.renamed_at.map(|at| renamable_from(at).to_string()),
            email: user.email.clone(),
            given_name: user.given_name.clone(),
            family_name: user.family_name.clone(),
            about: profile.about,
            avatar_url: profile.avatar_url,
            categories: profile.categories,
            skills: profile.skills,
            languages: profile.languages,
            birth_date: profile.birth_date.map(|birth_date| birth_date.to_string()),
            age: profile.birth_date.map(|birth_date| age(birth_date, date(now))),
            physical: profile.physical.into(),
            contacts: profile.contacts.into(),
            plan: user.plan.as_str(),
            verified: user.verified,
            crm_sync: user.crm_sync,
            visibility: visibility.into(),
            joined_at: user.joined_at.to_string(),
            erase_at: user.standing.erase_at().map(|at| at.to_string()),
        }
    }
}
