//! How users see their own profile.

use std::collections::BTreeMap;

use rollcall_domain::profile::Field;
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
    /// Who sees what: `public`, `members` or `private`, for each field and for `profile` as a whole.
    /// Nothing is seen by more people than the profile is.
    visibility: BTreeMap<&'static str, &'static str>,
    /// When the account was made (RFC 3339, UTC).
    joined_at: String,
    /// When the account is erased, if its user asked for that; null otherwise.
    erase_at: Option<String>,
}

/// The profile of `user` with the entity tag that a change of it has to name.
pub(crate) fn answer(user: &User) -> Response {
    Response::json(200, &ProfileView::from(user))
        .with_header("etag", &entity_tag(user.profile_version))
}

impl From<&User> for ProfileView {
    fn from(user: &User) -> Self {
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
            visibility: visibility.into(),
            joined_at: user.joined_at.to_string(),
            erase_at: user.standing.erase_at().map(|at| at.to_string()),
        }
    }
}
