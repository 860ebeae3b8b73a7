//! Finding people by what they show to other members: the beginning of their username, a skill, a
//! category.
//!
//! The index holds a user under a place exactly while any member may see what the place says, since
//! both change together. What is found is checked once more against the user as they are when it is
//! shown: between the two readings they may have closed their profile.

use std::collections::BTreeSet;

use crate::limits::{TAG_CHARACTERS_MAX, USERNAME_CHARACTERS_MAX};
use crate::profile::{Audience, Field, PublicProfile};
use crate::text::{TextError, normalize_required};
use crate::time::{Timestamp, date};
use crate::user::User;
use crate::username::Username;

/// A part of the index. Texts are folded to lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Everybody.
    Names,
    /// Who has a skill.
    Skill(String),
    /// Who is of a category.
    Category(String),
}

/// Where the index holds a user: on a shelf, in the order of usernames.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which shelf.
    pub shelf: Shelf,
    /// Under which name.
    pub username: Username,
}

/// A change of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceChange {
    /// The user is found here from now on.
    Enter(Place),
    /// The user is found here no more.
    Leave(Place),
}

/// Every place where members find a user: none without a username, since that is how users are
/// shown.
pub fn places(user: &User) -> BTreeSet<Place> {
    let shows = |field| user.profile.shows(field, Audience::Member);
    let Some(username) = user.username.as_ref().filter(|_| shows(Field::Profile)) else {
        return BTreeSet::new();
    };
    let tags = |field, tags: &[String]| -> Vec<String> {
        tags.iter().filter(|_| shows(field)).map(|tag| folded(tag)).collect()
    };
    let skills = tags(Field::Skills, &user.profile.skills).into_iter().map(Shelf::Skill);
    let categories = tags(Field::Categories, &user.profile.categories);
    let categories = categories.into_iter().map(Shelf::Category);
    let shelves = skills.chain(categories).chain([Shelf::Names]);
    shelves.map(|shelf| Place { shelf, username: username.clone() }).collect()
}

/// What changes in the index when a user changes; `None` is a user who is not there.
pub fn place_changes(before: Option<&User>, after: Option<&User>) -> Vec<PlaceChange> {
    let before = before.map(places).unwrap_or_default();
    let after = after.map(places).unwrap_or_default();
    let left = before.difference(&after).cloned().map(PlaceChange::Leave);
    let entered = after.difference(&before).cloned().map(PlaceChange::Enter);
    left.chain(entered).collect()
}

fn folded(tag: &str) -> String {
    tag.to_lowercase()
}

/// Something by which people are found. Texts are folded to lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Usernames that begin with this.
    Prefix(String),
    /// A skill.
    Skill(String),
    /// A category.
    Category(String),
}

/// Who is looked for: people for whom everything holds that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    lead: Wanted,
    also: Vec<Wanted>,
}

/// Why a question cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuestion {
    /// Nothing is asked.
    #[error("one of query, skill and category must be asked for")]
    Empty,
    /// No username begins like this.
    #[error(
        "must be the beginning of a username: 1 to {USERNAME_CHARACTERS_MAX} letters a to z, digits and underscores"
    )]
    Prefix,
    /// It is no skill.
    #[error("must be a text of 1 to {TAG_CHARACTERS_MAX} characters")]
    Skill,
    /// It is no category.
    #[error("must be a text of 1 to {TAG_CHARACTERS_MAX} characters")]
    Category,
}

impl Question {
    /// Checks what is asked.
    pub fn new(
        prefix: Option<&str>,
        skill: Option<&str>,
        category: Option<&str>,
    ) -> Result<Self, InvalidQuestion> {
        let prefix = prefix.map(name_part).transpose()?;
        let skill = skill.map(tag).transpose().map_err(|_error| InvalidQuestion::Skill)?;
        let category = category.map(tag).transpose().map_err(|_error| InvalidQuestion::Category)?;
        // First what is likely to hold for the fewest.
        let mut asked =
            [prefix.map(Wanted::Prefix), skill.map(Wanted::Skill), category.map(Wanted::Category)]
                .into_iter()
                .flatten();
        let lead = asked.next().ok_or(InvalidQuestion::Empty)?;
        Ok(Self { lead, also: asked.collect() })
    }

    /// By what the index is read.
    pub fn lead(&self) -> &Wanted {
        &self.lead
    }

    /// Whether the lead is all that is asked, so that nearly everybody it leads to is an answer.
    pub fn is_single(&self) -> bool {
        self.also.is_empty()
    }

    /// The question in one spelling, to tell its cursors from those of others.
    pub fn canonical(&self) -> String {
        let part = |wanted: &Wanted| match wanted {
            Wanted::Prefix(prefix) => format!("query={prefix}"),
            Wanted::Skill(skill) => format!("skill={}:{skill}", skill.len()),
            Wanted::Category(category) => format!("category={}:{category}", category.len()),
        };
        self.asked().map(part).collect::<Vec<_>>().join("&")
    }

    /// What a member sees of `user`, if the user is an answer now. Nobody is found by what they do
    /// not show, and nobody finds a user who is suspended or about to leave.
    pub fn answered_by(&self, user: &User, now: Timestamp) -> Option<PublicProfile> {
        let shown = user.shown_to(Audience::Member, date(now))?;
        let holds = |wanted: &Wanted| match wanted {
            Wanted::Prefix(prefix) => shown.username.as_str().starts_with(prefix),
            Wanted::Skill(skill) => has(&shown.skills, skill),
            Wanted::Category(category) => has(&shown.categories, category),
        };
        self.asked().all(holds).then_some(shown)
    }

    fn asked(&self) -> impl Iterator<Item = &Wanted> {
        std::iter::once(&self.lead).chain(&self.also)
    }
}

fn name_part(text: &str) -> Result<String, InvalidQuestion> {
    let text = text.trim().to_ascii_lowercase();
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let fits = (1..=USERNAME_CHARACTERS_MAX).contains(&text.len());
    if fits && text.bytes().all(allowed) { Ok(text) } else { Err(InvalidQuestion::Prefix) }
}

fn tag(text: &str) -> Result<String, TextError> {
    normalize_required(text, TAG_CHARACTERS_MAX).map(|tag| folded(&tag))
}

fn has(tags: &[String], wanted: &str) -> bool {
    tags.iter().any(|tag| folded(tag) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, Visibility};
    use crate::random::SeededRandom;
    use crate::user::Identity;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Somebody with these tags, who shows each thing to those given.
    fn user(name: Option<&str>, skills: &[&str], shows: &[(Field, Visibility)]) -> User {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: None,
            email_verified: false,
            given_name: "Ada".to_owned(),
            family_name: String::new(),
            roles: Vec::new(),
        };
        let joined = User::join(identity, None, at(1), &SeededRandom::new(1)).unwrap().user;
        let profile = Profile {
            skills: skills.iter().map(ToString::to_string).collect(),
            categories: vec!["Dancer".to_owned()],
            visibility: shows.iter().copied().collect(),
            ..Profile::default()
        };
        User { username: name.map(|name| name.parse().unwrap()), profile, ..joined }
    }

    fn question(prefix: &str, skill: &str, category: &str) -> Result<Question, InvalidQuestion> {
        let [prefix, skill, category] =
            [prefix, skill, category].map(|text| (!text.is_empty()).then_some(text));
        Question::new(prefix, skill, category)
    }

    fn check(user: &User, (prefix, skill, category): (&str, &str, &str), found: bool) {
        let question = question(prefix, skill, category).unwrap();
        let shown = question.answered_by(user, at(2)).is_some();
        assert_eq!(shown, found, "{prefix} {skill} {category}");
    }

    #[test]
    fn people_are_found_by_what_they_show_and_by_nothing_else() {
        let open = user(Some("ada_l"), &["Rust", "Ballet"], &[]);
        check(&open, ("ad", "", ""), true);
        check(&open, (" ADA_L ", "rUST", "dancer"), true);
        check(&open, ("", "rust", ""), true);
        check(&open, ("", "rus", ""), false);
        check(&open, ("da", "", ""), false);
        check(&open, ("ada", "rust", "singer"), false);
        let hidden = user(Some("ada_l"), &["Rust"], &[(Field::Skills, Visibility::Private)]);
        check(&hidden, ("", "rust", ""), false);
        check(&hidden, ("ada", "", ""), true);
        let closed = user(Some("ada_l"), &["Rust"], &[(Field::Profile, Visibility::Private)]);
        check(&closed, ("ada", "", ""), false);
        check(&user(None, &["Rust"], &[]), ("", "rust", ""), false);
        let leaving = open.clone().leave(at(1)).unwrap();
        check(&leaving, ("ada", "", ""), false);
        check(&leaving.stay(at(2)).unwrap(), ("ada", "", ""), true);
        let suspended = open.suspend(at(1)).unwrap();
        check(&suspended, ("ada", "", ""), false);
        check(&suspended.reinstate().unwrap(), ("ada", "", ""), true);
    }

    #[test]
    fn a_question_that_asks_nothing_or_nonsense_is_refused() {
        let long = "x".repeat(51);
        for (asked, refusal) in [
            (("", "", ""), InvalidQuestion::Empty),
            (("a-b", "", ""), InvalidQuestion::Prefix),
            (("%", "", ""), InvalidQuestion::Prefix),
            ((long.as_str(), "", ""), InvalidQuestion::Prefix),
            (("", long.as_str(), ""), InvalidQuestion::Skill),
            (("", "a\u{7}", ""), InvalidQuestion::Skill),
            (("a", "", " "), InvalidQuestion::Category),
        ] {
            assert_eq!(question(asked.0, asked.1, asked.2), Err(refusal), "{asked:?}");
        }
        let (one, other) = (question("", "a&b", ""), question("", "a", "b"));
        assert_ne!(one.unwrap().canonical(), other.unwrap().canonical());
    }

    fn users() -> impl Strategy<Value = Option<User>> {
        let names = prop::sample::select(vec![None, Some("ada"), Some("ada_l"), Some("lin")]);
        let skills = prop::sample::subsequence(vec!["Rust", "Go", "Ballet"], 0..=3);
        let visibility = || prop::sample::select(Visibility::ALL.to_vec());
        let someone = (names, skills, visibility(), visibility(), visibility());
        let someone = someone.prop_map(|(name, skills, profile, skill, category)| {
            let shows =
                [(Field::Profile, profile), (Field::Skills, skill), (Field::Categories, category)];
            user(name, &skills, &shows)
        });
        prop::option::of(someone)
    }

    proptest! {
        /// Whatever a user changes, and in whatever order, the index ends at exactly the places
        /// where members may find them, and whoever the index leads to is an answer.
        #[test]
        fn the_index_follows_the_user(history in prop::collection::vec(users(), 1..8)) {
            let mut index = BTreeSet::new();
            let mut before: Option<&User> = None;
            for after in &history {
                for change in place_changes(before, after.as_ref()) {
                    match change {
                        PlaceChange::Enter(place) => prop_assert!(index.insert(place)),
                        PlaceChange::Leave(place) => prop_assert!(index.remove(&place)),
                    }
                }
                before = after.as_ref();
                prop_assert_eq!(&index, &before.map(places).unwrap_or_default());
                for place in &index {
                    let found = match &place.shelf {
                        Shelf::Names => question(place.username.as_str(), "", ""),
                        Shelf::Skill(skill) => question("", skill, ""),
                        Shelf::Category(category) => question("", "", category),
                    };
                    let found = found.unwrap().answered_by(before.unwrap(), at(2));
                    prop_assert!(found.is_some(), "{place:?}");
                }
            }
        }
    }
}
