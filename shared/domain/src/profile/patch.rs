//! Changes of a profile: a merge patch (RFC 7396), in which a member that is left out stays, null
//! removes, and `visibility`, `physical` and `contacts` are merged member by member (fault C-19). It is
//! checked as a whole, so that its sender learns of every wrong field at once and nothing is changed
//! by halves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use url::Url;

use crate::limits::{
    ABOUT_CHARACTERS_MAX, BIRTH_YEAR_MIN, CATEGORIES_MAX, FIELD_REFUSALS_MAX, HEIGHT_CM_MAX,
    HEIGHT_CM_MIN, LANGUAGES_MAX, NAME_CHARACTERS_MAX, PHONE_DIGITS_MAX, PHONE_DIGITS_MIN,
    SKILLS_MAX, TAG_CHARACTERS_MAX, URL_CHARACTERS_MAX,
};
use crate::profile::{Field, Profile, UnknownField, Visibility, facts};
use crate::text::{self, TextError};
use crate::username::{InvalidUsername, Username};

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
    /// The date of birth, `YYYY-MM-DD`.
    pub birth_date: Change<String>,
    /// What the user looks like, member by member.
    pub physical: Change<PhysicalPatch>,
    /// How to reach the user, member by member.
    pub contacts: Change<ContactsPatch>,
    /// Visibilities by field; null means the default.
    pub visibility: Change<BTreeMap<String, Option<String>>>,
}

/// A change of what a user looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhysicalPatch {
    /// Height in centimetres.
    pub height_cm: Change<u16>,
    /// Colour of the hair.
    pub hair_colour: Change<String>,
    /// Colour of the eyes.
    pub eye_colour: Change<String>,
}

/// A change of how to reach a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactsPatch {
    /// Telephone number (ITU-T E.164).
    pub phone: Change<String>,
    /// A page of the user's elsewhere, by https.
    pub website: Change<String>,
    /// Where the user lives or works.
    pub city: Change<String>,
    /// The country (ISO 3166-1 alpha-2).
    pub country: Change<String>,
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
    birth_date: Change<Option<Date>>,
    physical: PhysicalEdit,
    contacts: ContactsEdit,
    visibility: Change<BTreeMap<Field, Option<Visibility>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PhysicalEdit {
    height_cm: Change<Option<u16>>,
    hair_colour: Change<Option<String>>,
    eye_colour: Change<Option<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ContactsEdit {
    phone: Change<Option<String>>,
    website: Change<Option<String>>,
    city: Change<Option<String>>,
    country: Change<Option<String>>,
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
    /// No day on which a user can have been born.
    #[error("must be a day that was, YYYY-MM-DD, since {BIRTH_YEAR_MIN}")]
    Date,
    /// Nobody is that tall.
    #[error("must be from {HEIGHT_CM_MIN} to {HEIGHT_CM_MAX}")]
    Height,
    /// Not a telephone number as it is dialled from abroad.
    #[error(
        "must be a plus and {PHONE_DIGITS_MIN} to {PHONE_DIGITS_MAX} digits, country code first"
    )]
    Phone,
    /// There is no such country.
    #[error("must be a country's code of two letters (ISO 3166-1)")]
    Country,
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
            Self::Date => "invalid-date",
            Self::Height => "out-of-range",
            Self::Phone => "invalid-phone",
            Self::Country => "unknown-country",
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
    /// Checks every field; all that are wrong are named, up to [`FIELD_REFUSALS_MAX`]. `today` is the
    /// last day on which somebody can have been born.
    pub fn check(self, today: Date) -> Result<Edit, Vec<FieldRefusal>> {
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
            birth_date: checker.field("/birth_date", self.birth_date, |text| {
                facts::birth_date(&text, today).map(Some)
            }),
            physical: checker.physical(members(self.physical, PhysicalPatch::removed)),
            contacts: checker.contacts(members(self.contacts, ContactsPatch::removed)),
            visibility: checker.visibility(self.visibility),
        };
        let Checker(mut refusals) = checker;
        refusals.truncate(FIELD_REFUSALS_MAX);
        if refusals.is_empty() { Ok(edit) } else { Err(refusals) }
    }
}

/// The members of a nested object's change: to remove the object is to remove each of them (RFC 7396).
fn members<T: Default>(change: Change<T>, removed: impl FnOnce() -> T) -> T {
    match change {
        Change::Keep => T::default(),
        Change::Remove => removed(),
        Change::Set(members) => members,
    }
}

impl PhysicalPatch {
    fn removed() -> Self {
        Self { height_cm: Change::Remove, hair_colour: Change::Remove, eye_colour: Change::Remove }
    }
}

impl ContactsPatch {
    fn removed() -> Self {
        Self {
            phone: Change::Remove,
            website: Change::Remove,
            city: Change::Remove,
            country: Change::Remove,
        }
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
        self.birth_date.apply(&mut profile.birth_date);
        let (physical, contacts) = (&mut profile.physical, &mut profile.contacts);
        self.physical.height_cm.apply(&mut physical.height_cm);
        self.physical.hair_colour.apply(&mut physical.hair_colour);
        self.physical.eye_colour.apply(&mut physical.eye_colour);
        self.contacts.phone.apply(&mut contacts.phone);
        self.contacts.website.apply(&mut contacts.website);
        self.contacts.city.apply(&mut contacts.city);
        self.contacts.country.apply(&mut contacts.country);
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

    fn physical(&mut self, patch: PhysicalPatch) -> PhysicalEdit {
        let colour = |text: String| Ok(Some(text::normalize_required(&text, TAG_CHARACTERS_MAX)?));
        let height = |height| facts::height_cm(height).map(Some);
        PhysicalEdit {
            height_cm: self.field("/physical/height_cm", patch.height_cm, height),
            hair_colour: self.field("/physical/hair_colour", patch.hair_colour, colour),
            eye_colour: self.field("/physical/eye_colour", patch.eye_colour, colour),
        }
    }

    fn contacts(&mut self, patch: ContactsPatch) -> ContactsEdit {
        let city = |text: String| Ok(Some(text::normalize_required(&text, NAME_CHARACTERS_MAX)?));
        let phone = |text: String| facts::phone(&text).map(Some);
        let website = |text: String| https_url(&text).map(Some);
        let country = |text: String| facts::country(&text).map(Some);
        ContactsEdit {
            phone: self.field("/contacts/phone", patch.phone, phone),
            website: self.field("/contacts/website", patch.website, website),
            city: self.field("/contacts/city", patch.city, city),
            country: self.field("/contacts/country", patch.country, country),
        }
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
pub(crate) fn https_url(text: &str) -> Result<String, ProfileError> {
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
    use crate::profile::{Contacts, Physical};

    fn today() -> Date {
        "2026-11-21".parse().unwrap()
    }

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
        let refusals = patch.check(today()).err().unwrap_or_default();
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
            Patch { birth_date: set("2026-11-22"), ..patch() },
            &[("/birth_date", "invalid-date")],
        );
        check(
            Patch {
                physical: Change::Set(PhysicalPatch {
                    height_cm: Change::Set(5),
                    hair_colour: set(""),
                    eye_colour: set("\u{7}"),
                }),
                contacts: Change::Set(ContactsPatch {
                    phone: set("110"),
                    website: set("http://a.example"),
                    city: set("x".repeat(NAME_CHARACTERS_MAX + 1)),
                    country: set("XX"),
                }),
                ..patch()
            },
            &[
                ("/physical/height_cm", "out-of-range"),
                ("/physical/hair_colour", "empty"),
                ("/physical/eye_colour", "control-character"),
                ("/contacts/phone", "invalid-phone"),
                ("/contacts/website", "invalid-url"),
                ("/contacts/city", "too-long"),
                ("/contacts/country", "unknown-country"),
            ],
        );
        check(
            Patch { username: set("a b"), family_name: set("a\nb"), ..patch() },
            &[("/username", "invalid-username"), ("/family_name", "control-character")],
        );
        let empty = |count| Change::Set(vec![String::new(); count]);
        let (skills, languages) = (empty(SKILLS_MAX), empty(LANGUAGES_MAX));
        let all = Patch { categories: empty(CATEGORIES_MAX), skills, languages, ..patch() };
        assert_eq!(all.check(today()).unwrap_err().len(), FIELD_REFUSALS_MAX);
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
    fn names_of_fields_and_visibilities_survive_parsing() {
        for field in Field::ALL {
            assert_eq!(field.as_str().parse(), Ok(field));
            for visibility in Visibility::ALL {
                let patch = Patch {
                    visibility: who(field.as_str(), Some(visibility.as_str())),
                    ..Patch::default()
                };
                let mut profile = Profile::default();
                patch.check(today()).unwrap().apply(&mut profile);
                assert_eq!(profile.visibility(field), visibility);
                let back = Patch { visibility: who(field.as_str(), None), ..Patch::default() };
                back.check(today()).unwrap().apply(&mut profile);
                assert_eq!(profile, Profile::default());
            }
        }
    }

    #[test]
    fn c_19_a_member_of_a_nested_object_changes_without_its_siblings() {
        let full = Patch {
            birth_date: set("1990-01-31"),
            physical: Change::Set(PhysicalPatch {
                height_cm: Change::Set(187),
                hair_colour: set(" Brown "),
                eye_colour: set("green"),
            }),
            contacts: Change::Set(ContactsPatch {
                phone: set("+49301234567"),
                website: set("HTTPS://a.example"),
                city: set("K\u{f6}ln"),
                country: set("de"),
            }),
            ..Patch::default()
        };
        let mut profile = Profile::default();
        full.check(today()).unwrap().apply(&mut profile);
        let some = |text: &str| Some(text.to_owned());
        let expected = Profile {
            birth_date: "1990-01-31".parse().ok(),
            physical: Physical {
                height_cm: Some(187),
                hair_colour: some("Brown"),
                eye_colour: some("green"),
            },
            contacts: Contacts {
                phone: some("+49301234567"),
                website: some("https://a.example/"),
                city: some("K\u{f6}ln"),
                country: some("DE"),
            },
            ..Profile::default()
        };
        assert_eq!(profile, expected);
        let one = Patch {
            physical: Change::Set(PhysicalPatch {
                hair_colour: Change::Remove,
                ..PhysicalPatch::default()
            }),
            contacts: Change::Set(ContactsPatch { city: set("Bonn"), ..ContactsPatch::default() }),
            ..Patch::default()
        };
        one.check(today()).unwrap().apply(&mut profile);
        let physical = Physical { hair_colour: None, ..expected.physical };
        let contacts = Contacts { city: some("Bonn"), ..expected.contacts };
        let expected = Profile { physical, contacts, ..expected };
        assert_eq!(profile, expected);
        let all = Patch {
            birth_date: Change::Remove,
            physical: Change::Remove,
            contacts: Change::Remove,
            ..Patch::default()
        };
        all.check(today()).unwrap().apply(&mut profile);
        assert_eq!(profile, Profile::default());
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
                visibility, ..Patch::default()
            }
        }
    }

    proptest! {
        #[test]
        fn what_passes_keeps_every_limit_and_passes_again_unchanged(patch in patches()) {
            let Ok(edit) = patch.check(today()) else { return Ok(()) };
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
            again.check(today()).unwrap().apply(&mut same);
            prop_assert_eq!(same, profile);
        }
    }
}
