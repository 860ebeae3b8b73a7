//! Profiles: what users say about themselves, who may see it, and how a change of it is checked.
//!
//! A change is a merge patch (RFC 7396): a member that is left out stays, null removes, and only
//! `visibility` is merged member by member. It is checked as a whole, so that its sender learns of
//! every wrong field at once and nothing is changed by halves.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::limits::{
    ABOUT_CHARACTERS_MAX, CATEGORIES_MAX, FIELD_REFUSALS_MAX, LANGUAGES_MAX, NAME_CHARACTERS_MAX,
    SKILLS_MAX, TAG_CHARACTERS_MAX, URL_CHARACTERS_MAX,
};
use crate::text::{self, TextError};
use crate::username::{InvalidUsername, Username};

/// Who may see something; the order is from the fewest to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The user alone.
    Private,
    /// Everybody who is signed in.
    Members,
    /// Everybody.
    Public,
}

impl Visibility {
    /// Every visibility.
    pub const ALL: [Self; 3] = [Self::Private, Self::Members, Self::Public];

    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Members => "members",
            Self::Public => "public",
        }
    }
}

/// Who looks at a profile that is not their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anybody, signed in or not.
    Anybody,
    /// Somebody who is signed in.
    Member,
}

impl Audience {
    /// Whether the audience may see what has this visibility.
    pub fn sees(self, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Private => false,
            Visibility::Members => self == Self::Member,
            Visibility::Public => true,
        }
    }
}

/// Something in a profile that has a visibility of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Field {
    /// That there is a profile at all; nothing in it is seen by more people than it is.
    Profile,
    /// Given name.
    GivenName,
    /// Family name.
    FamilyName,
    /// What users write about themselves.
    About,
    /// The picture.
    AvatarUrl,
    /// Categories.
    Categories,
    /// Skills.
    Skills,
    /// Languages.
    Languages,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 8] = [
        Self::Profile,
        Self::GivenName,
        Self::FamilyName,
        Self::About,
        Self::AvatarUrl,
        Self::Categories,
        Self::Skills,
        Self::Languages,
    ];

    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::About => "about",
            Self::AvatarUrl => "avatar_url",
            Self::Categories => "categories",
            Self::Skills => "skills",
            Self::Languages => "languages",
        }
    }

    /// Who sees it unless the user says otherwise: a profile can be found by its name, and what is in
    /// it stays among members until its user opens it (GDPR article 25 (2)).
    pub const fn default_visibility(self) -> Visibility {
        match self {
            Self::Profile => Visibility::Public,
            _ => Visibility::Members,
        }
    }
}

/// A text that names nothing in a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no field with a visibility")]
pub struct UnknownField;

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        Self::ALL.into_iter().find(|field| field.as_str() == text).ok_or(UnknownField)
    }
}

impl TryFrom<String> for Field {
    type Error = UnknownField;

    fn try_from(text: String) -> Result<Self, UnknownField> {
        text.parse()
    }
}

impl From<Field> for String {
    fn from(field: Field) -> String {
        field.as_str().to_owned()
    }
}

/// What users say about themselves, beside their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// A text in the user's words, as given; may be empty.
    pub about: String,
    /// Where the picture is, by https.
    pub avatar_url: Option<String>,
    /// Categories, in the user's order.
    pub categories: Vec<String>,
    /// Skills, in the user's order.
    pub skills: Vec<String>,
    /// Languages, in the user's order.
    pub languages: Vec<String>,
    /// Who sees what, where the user chose otherwise than the default.
    pub visibility: BTreeMap<Field, Visibility>,
}

impl Profile {
    /// Who may see a field, as the user chose.
    pub fn visibility(&self, field: Field) -> Visibility {
        self.visibility.get(&field).copied().unwrap_or(field.default_visibility())
    }

    /// Whether an audience sees a field: it must see the profile, too.
    pub fn shows(&self, field: Field, audience: Audience) -> bool {
        let narrowest = self.visibility(field).min(self.visibility(Field::Profile));
        audience.sees(narrowest)
    }
}

/// What others see of a profile. What they may not see looks like what is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicProfile {
    /// The name by which it is found.
    pub username: Username,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// What the user writes about themselves.
    pub about: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Skills.
    pub skills: Vec<String>,
    /// Languages.
    pub languages: Vec<String>,
}

/// What a merge patch says about one member (RFC 7396 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It is left out: as before.
    #[default]
    Keep,
    /// It is null: none from now on.
    Remove,
    /// A new value.
    Set(T),
}

impl<T: Clone + Default> Change<T> {
    /// Makes the change; whether there was one to make.
    pub(crate) fn apply(&self, value: &mut T) -> bool {
        match self {
            Self::Keep => return false,
            Self::Remove => *value = T::default(),
            Self::Set(new) => value.clone_from(new),
        }
        true
    }
}

/// A change of a profile as somebody asks for it, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The name by which the profile is found.
    pub username: Change<String>,
    /// Given name.
    pub given_name: Change<String>,
    /// Family name.
    pub family_name: Change<String>,
    /// What the user writes about themselves.
    pub about: Change<String>,
    /// Where the picture is.
    pub avatar_url: Change<String>,
    /// Categories, all of them.
    pub categories: Change<Vec<String>>,
    /// Skills, all of them.
    pub skills: Change<Vec<String>>,
    /// Languages, all of them.
    pub languages: Change<Vec<String>>,
    /// Visibilities by field; null means the default.
    pub visibility: Change<BTreeMap<String, Option<String>>>,
}

/// A change of a profile that keeps every rule of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub(crate) username: Option<Username>,
    pub(crate) given_name: Change<String>,
    pub(crate) family_name: Change<String>,
    about: Change<String>,
    avatar_url: Change<Option<String>>,
    categories: Change<Vec<String>>,
    skills: Change<Vec<String>>,
    languages: Change<Vec<String>>,
    visibility: Change<BTreeMap<Field, Option<Visibility>>>,
}

/// Why a field's new value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text breaks a rule of all texts.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No such name can be had.
    #[error(transparent)]
    Username(#[from] InvalidUsername),
    /// A username can be changed and not given up.
    #[error("cannot be removed")]
    NotRemovable,
    /// Not an absolute https URL.
    #[error("must be an https URL without user name and password")]
    Url,
    /// Too many entries.
    #[error("must have at most {entries_max} entries")]
    TooMany {
        /// The limit.
        entries_max: usize,
    },
    /// An entry stands there twice, letter case aside.
    #[error("is there already")]
    Duplicate,
    /// There is no such field.
    #[error(transparent)]
    UnknownField(#[from] UnknownField),
    /// There is no such visibility.
    #[error("must be public, members or private")]
    UnknownVisibility,
}

impl ProfileError {
    /// The stable name of the reason, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Text(TextError::TooLong { .. }) => "too-long",
            Self::Text(TextError::Empty) => "empty",
            Self::Text(TextError::ControlCharacter) => "control-character",
            Self::Text(TextError::Shape { .. }) => "invalid-text",
            Self::Username(InvalidUsername::Shape) => "invalid-username",
            Self::Username(InvalidUsername::Reserved) => "reserved-username",
            Self::NotRemovable => "not-removable",
            Self::Url => "invalid-url",
            Self::TooMany { .. } => "too-many",
            Self::Duplicate => "duplicate",
            Self::UnknownField(_) => "unknown-field",
            Self::UnknownVisibility => "unknown-visibility",
        }
    }
}

/// A field whose new value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRefusal {
    /// Where: a JSON pointer (RFC 6901) into the patch.
    pub pointer: String,
    /// Why.
    pub reason: ProfileError,
}

impl Patch {
    /// Checks every field; all that are wrong are named, up to [`FIELD_REFUSALS_MAX`].
    pub fn check(self) -> Result<Edit, Vec<FieldRefusal>> {
        let mut checker = Checker(Vec::new());
        let name = |name: String| Ok(text::normalize_required(&name, NAME_CHARACTERS_MAX)?);
        let edit = Edit {
            username: checker.username(&self.username),
            given_name: checker.field("/given_name", self.given_name, name),
            family_name: checker.field("/family_name", self.family_name, name),
            about: checker.field("/about", self.about, |about| {
                Ok(text::normalize_required(&about, ABOUT_CHARACTERS_MAX)?)
            }),
            avatar_url: checker
                .field("/avatar_url", self.avatar_url, |url| https_url(&url).map(Some)),
            categories: checker.tags("/categories", self.categories, CATEGORIES_MAX),
            skills: checker.tags("/skills", self.skills, SKILLS_MAX),
            languages: checker.tags("/languages", self.languages, LANGUAGES_MAX),
            visibility: checker.visibility(self.visibility),
        };
        let Checker(mut refusals) = checker;
        refusals.truncate(FIELD_REFUSALS_MAX);
        if refusals.is_empty() { Ok(edit) } else { Err(refusals) }
    }
}

impl Edit {
    /// The username that is asked for.
    pub fn username(&self) -> Option<&Username> {
        self.username.as_ref()
    }

    pub(crate) fn apply(&self, profile: &mut Profile) {
        self.about.apply(&mut profile.about);
        self.avatar_url.apply(&mut profile.avatar_url);
        self.categories.apply(&mut profile.categories);
        self.skills.apply(&mut profile.skills);
        self.languages.apply(&mut profile.languages);
        match &self.visibility {
            Change::Keep => {}
            Change::Remove => profile.visibility.clear(),
            Change::Set(changes) => {
                for (field, visibility) in changes {
                    match visibility.filter(|chosen| *chosen != field.default_visibility()) {
                        Some(chosen) => profile.visibility.insert(*field, chosen),
                        None => profile.visibility.remove(field),
                    };
                }
            }
        }
    }
}

/// Checks fields and remembers those that are wrong.
struct Checker(Vec<FieldRefusal>);

impl Checker {
    fn refuse(&mut self, pointer: impl Into<String>, reason: ProfileError) {
        self.0.push(FieldRefusal { pointer: pointer.into(), reason });
    }

    fn field<T, U>(
        &mut self,
        pointer: &str,
        change: Change<T>,
        check: impl FnOnce(T) -> Result<U, ProfileError>,
    ) -> Change<U> {
        match change {
            Change::Keep => Change::Keep,
            Change::Remove => Change::Remove,
            Change::Set(value) => match check(value) {
                Ok(value) => Change::Set(value),
                Err(reason) => {
                    self.refuse(pointer, reason);
                    Change::Keep
                }
            },
        }
    }

    fn username(&mut self, change: &Change<String>) -> Option<Username> {
        let parsed = match change {
            Change::Keep => return None,
            Change::Remove => Err(ProfileError::NotRemovable),
            Change::Set(text) => text.parse().map_err(ProfileError::from),
        };
        parsed.map_err(|reason| self.refuse("/username", reason)).ok()
    }

    fn tags(
        &mut self,
        pointer: &str,
        change: Change<Vec<String>>,
        entries_max: usize,
    ) -> Change<Vec<String>> {
        let change = self.field(pointer, change, |entries| {
            let fits = entries.len() <= entries_max;
            if fits { Ok(entries) } else { Err(ProfileError::TooMany { entries_max }) }
        });
        let Change::Set(entries) = change else { return change };
        let (mut tags, mut seen) = (Vec::new(), BTreeSet::new());
        for (index, entry) in entries.iter().enumerate() {
            let tag = text::normalize_required(entry, TAG_CHARACTERS_MAX);
            match tag.map_err(ProfileError::from) {
                Ok(tag) if seen.insert(tag.to_lowercase()) => tags.push(tag),
                Ok(_) => self.refuse(format!("{pointer}/{index}"), ProfileError::Duplicate),
                Err(reason) => self.refuse(format!("{pointer}/{index}"), reason),
            }
        }
        Change::Set(tags)
    }

    fn visibility(
        &mut self,
        change: Change<BTreeMap<String, Option<String>>>,
    ) -> Change<BTreeMap<Field, Option<Visibility>>> {
        let changes = match change {
            Change::Keep => return Change::Keep,
            Change::Remove => return Change::Remove,
            Change::Set(changes) => changes,
        };
        let mut checked = BTreeMap::new();
        for (name, value) in changes {
            match visibility_of(&name, value.as_deref()) {
                Ok((field, visibility)) => {
                    checked.insert(field, visibility);
                }
                Err(reason) => {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    self.refuse(format!("/visibility/{name}"), reason);
                }
            }
        }
        Change::Set(checked)
    }
}

fn visibility_of(
    name: &str,
    value: Option<&str>,
) -> Result<(Field, Option<Visibility>), ProfileError> {
    let known = |value| Visibility::ALL.into_iter().find(|known| known.as_str() == value);
    let visibility =
        value.map(|value| known(value).ok_or(ProfileError::UnknownVisibility)).transpose();
    Ok((name.parse()?, visibility?))
}

/// An absolute https URL as browsers read it, in the one spelling that they send (WHATWG URL).
fn https_url(text: &str) -> Result<String, ProfileError> {
    let text = text::normalize_required(text, URL_CHARACTERS_MAX)?;
    // Browsers repair `https:host` and `https:\\host`; what needs repair is not what was meant.
    let begins = text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    if !begins || text.contains(['\\', '"', '<', '>', '`']) || text.contains(char::is_whitespace) {
        return Err(ProfileError::Url);
    }
    let url = Url::parse(&text).map_err(|_error| ProfileError::Url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ProfileError::Url);
    }
    // Percent-encoding may have made it longer.
    Ok(text::normalize_required(url.as_str(), URL_CHARACTERS_MAX)?)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn set(text: impl Into<String>) -> Change<String> {
        Change::Set(text.into())
    }

    fn list(entries: &[&str]) -> Change<Vec<String>> {
        Change::Set(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    fn who(field: &str, visibility: Option<&str>) -> Change<BTreeMap<String, Option<String>>> {
        Change::Set(BTreeMap::from([(field.to_owned(), visibility.map(ToOwned::to_owned))]))
    }

    #[track_caller]
    fn check(patch: Patch, expected: &[(&str, &str)]) {
        let refusals = patch.check().err().unwrap_or_default();
        let found: Vec<(&str, &str)> =
            refusals.iter().map(|field| (field.pointer.as_str(), field.reason.code())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_wrong_field_is_named_with_its_reason() {
        let patch = Patch::default;
        let long = "x".repeat(ABOUT_CHARACTERS_MAX + 1);
        let many: Vec<String> = (0..=CATEGORIES_MAX).map(|number| number.to_string()).collect();
        check(patch(), &[]);
        check(Patch { username: Change::Remove, ..patch() }, &[("/username", "not-removable")]);
        check(Patch { username: set("admin"), ..patch() }, &[("/username", "reserved-username")]);
        check(Patch { given_name: set(" "), ..patch() }, &[("/given_name", "empty")]);
        check(Patch { about: set(long), ..patch() }, &[("/about", "too-long")]);
        check(Patch { about: set("a\u{7}b"), ..patch() }, &[("/about", "control-character")]);
        check(Patch { about: set("a\u{85}b"), ..patch() }, &[("/about", "control-character")]);
        check(Patch { categories: Change::Set(many), ..patch() }, &[("/categories", "too-many")]);
        check(
            Patch { skills: list(&["Dance", "", "dance"]), ..patch() },
            &[("/skills/1", "empty"), ("/skills/2", "duplicate")],
        );
        check(
            Patch { visibility: who("e/mail", Some("public")), ..patch() },
            &[("/visibility/e~1mail", "unknown-field")],
        );
        check(
            Patch { visibility: who("about", Some("everyone")), ..patch() },
            &[("/visibility/about", "unknown-visibility")],
        );
        check(
            Patch { username: set("a b"), family_name: set("a\nb"), ..patch() },
            &[("/username", "invalid-username"), ("/family_name", "control-character")],
        );
        let all_empty = Change::Set(vec![String::new(); SKILLS_MAX]);
        let both = Patch { skills: all_empty, languages: list(&[""]), ..patch() };
        assert_eq!(both.check().unwrap_err().len(), FIELD_REFUSALS_MAX);
    }

    #[test]
    fn c_30_a_picture_is_somewhere_https_leads() {
        let path = "a".repeat(URL_CHARACTERS_MAX);
        let fits = format!("https://a.example/{}", &path[18..]);
        let too_long = format!("{fits}a");
        let grows = format!("https://a.example/{}", "é".repeat(1_000));
        for (text, expected) in [
            ("https://a.example/b.png?c=d#e", Some("https://a.example/b.png?c=d#e")),
            (" HTTPS://A.example ", Some("https://a.example/")),
            ("https://bücher.example/ü", Some("https://xn--bcher-kva.example/%C3%BC")),
            (&fits, Some(fits.as_str())),
            (&too_long, None),
            (&grows, None),
            ("", None),
            ("http://a.example/", None),
            ("javascript:alert(1)", None),
            ("JavaScript:alert(1)//https://a.example", None),
            ("java\tscript:alert(1)", None),
            ("data:text/html,<script>", None),
            ("//a.example/b.png", None),
            ("/b.png", None),
            ("https:a.example", None),
            ("https:\\\\a.example", None),
            ("https:///a.example", Some("https://a.example/")),
            ("https://", None),
            ("https://ada:secret@a.example/", None),
            ("https://ada@a.example/", None),
            ("https://a.example/\"onerror=\"x", None),
            ("https://a.example/ b", None),
            ("https://a.example/\nb", None),
            ("https://a.exa\u{0}mple/", None),
            ("https://a.example:99999/", None),
        ] {
            assert_eq!(https_url(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_is_seen_by_more_than_the_profile_and_the_field_allow() {
        use Visibility::{Members, Private, Public};
        for field in Field::ALL.into_iter().filter(|field| *field != Field::Profile) {
            for (whole, own, member, anybody) in [
                (Public, Public, true, true),
                (Public, Members, true, false),
                (Public, Private, false, false),
                (Members, Public, true, false),
                (Members, Members, true, false),
                (Members, Private, false, false),
                (Private, Public, false, false),
                (Private, Members, false, false),
                (Private, Private, false, false),
            ] {
                let visibility = BTreeMap::from([(Field::Profile, whole), (field, own)]);
                let profile = Profile { visibility, ..Profile::default() };
                assert_eq!(profile.shows(field, Audience::Member), member, "{field:?} {whole:?}");
                assert_eq!(profile.shows(field, Audience::Anybody), anybody, "{field:?} {whole:?}");
            }
            assert!(!Profile::default().shows(field, Audience::Anybody));
            assert!(Profile::default().shows(field, Audience::Member));
        }
        assert!(Profile::default().shows(Field::Profile, Audience::Anybody));
    }

    #[test]
    fn names_of_fields_and_visibilities_survive_parsing() {
        for field in Field::ALL {
            assert_eq!(field.as_str().parse(), Ok(field));
            for visibility in Visibility::ALL {
                let patch = Patch {
                    visibility: who(field.as_str(), Some(visibility.as_str())),
                    ..Patch::default()
                };
                let mut profile = Profile::default();
                patch.check().unwrap().apply(&mut profile);
                assert_eq!(profile.visibility(field), visibility);
                let back = Patch { visibility: who(field.as_str(), None), ..Patch::default() };
                back.check().unwrap().apply(&mut profile);
                assert_eq!(profile, Profile::default());
            }
        }
    }

    fn change<T: Clone + std::fmt::Debug>(
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Change<T>> {
        prop_oneof![Just(Change::Keep), Just(Change::Remove), value.prop_map(Change::Set)]
    }

    fn words() -> impl Strategy<Value = String> {
        "[a-zA-Zé<>&\"'\u{0}\n ]{0,8}|https://[a-z]{1,5}\\.example/[a-zé\" ]{0,5}|\\PC{0,60}"
    }

    prop_compose! {
        fn patches()(
            texts in (change(words()), change(words()), change(words()), change(words()), change(words())),
            lists in (change(vec(words(), 0..12)), change(vec(words(), 0..12)), change(vec(words(), 0..24))),
            visibility in change(btree_map(
                prop_oneof![words(), Just("about".to_owned()), Just("profile".to_owned())],
                option::of(prop_oneof![words(), Just("private".to_owned())]),
                0..3,
            )),
        ) -> Patch {
            let (username, given_name, family_name, about, avatar_url) = texts;
            let (categories, skills, languages) = lists;
            Patch {
                username, given_name, family_name, about, avatar_url, categories, skills, languages,
                visibility,
            }
        }
    }

    proptest! {
        #[test]
        fn what_passes_keeps_every_limit_and_passes_again_unchanged(patch in patches()) {
            let Ok(edit) = patch.check() else { return Ok(()) };
            let mut profile = Profile::default();
            edit.apply(&mut profile);
            let lists = [
                (&profile.categories, CATEGORIES_MAX),
                (&profile.skills, SKILLS_MAX),
                (&profile.languages, LANGUAGES_MAX),
            ];
            for (entries, entries_max) in lists {
                prop_assert!(entries.len() <= entries_max);
                for entry in entries {
                    prop_assert!((1..=TAG_CHARACTERS_MAX).contains(&entry.chars().count()));
                    prop_assert!(!entry.chars().any(char::is_control));
                }
            }
            prop_assert!(profile.about.chars().count() <= ABOUT_CHARACTERS_MAX);
            if let Some(url) = &profile.avatar_url {
                prop_assert!(url.starts_with("https://") && url.len() <= URL_CHARACTERS_MAX);
            }
            let again = Patch {
                about: if profile.about.is_empty() { Change::Keep } else { set(profile.about.clone()) },
                avatar_url: profile.avatar_url.clone().map_or(Change::Keep, Change::Set),
                categories: Change::Set(profile.categories.clone()),
                skills: Change::Set(profile.skills.clone()),
                languages: Change::Set(profile.languages.clone()),
                ..Patch::default()
            };
            let mut same = profile.clone();
            again.check().unwrap().apply(&mut same);
            prop_assert_eq!(same, profile);
        }
    }
}
