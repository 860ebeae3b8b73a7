//! Users: the person behind an account.

use crate::id::UserId;
use crate::limits::NAME_CHARACTERS_MAX;
use crate::profile::{Audience, Edit, Field, Profile, PublicProfile};
use crate::random::Random;
use crate::role::Role;
use crate::text;
use crate::time::{Timestamp, day};
use crate::username::{self, Claim, Claims, NamingRefusal, Username};

/// Who the identity provider says somebody is, after every check on the id token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The person at that provider. Issuer and subject together name a user; nothing else does.
    pub subject: String,
    /// The e-mail address, if the provider told one that can be an address.
    pub email: Option<String>,
    /// Whether the provider verified it.
    pub email_verified: bool,
    /// Given name; empty when not told.
    pub given_name: String,
    /// Family name; empty when not told.
    pub family_name: String,
    /// Roles, from the provider's groups.
    pub roles: Vec<Role>,
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The identity the account was made for.
    pub issuer: String,
    /// The subject at the issuer.
    pub subject: String,
    /// A verified e-mail address. An address that nobody verified is not kept (fault S13).
    pub email: Option<String>,
    /// Given name; may be empty.
    pub given_name: String,
    /// Family name; may be empty.
    pub family_name: String,
    /// Roles, sorted.
    pub roles: Vec<Role>,
    /// When the account was made.
    pub joined_at: Timestamp,
    /// When the user last signed in.
    pub last_seen_at: Timestamp,
    /// Which names are the user's own words; the provider no longer changes them.
    pub own_names: OwnNames,
    /// The name by which others find the user, once chosen.
    pub username: Option<Username>,
    /// When the username was last changed for another.
    pub renamed_at: Option<Timestamp>,
    /// What the user says about themselves.
    pub profile: Profile,
    /// Counts the writes of this user; 1 for a new one.
    pub version: u64,
}

/// Which names a user wrote or removed by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnNames {
    /// The given name.
    pub given: bool,
    /// The family name.
    pub family: bool,
}

/// A user after a change of their profile, with the claims on usernames that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The user.
    pub user: User,
    /// Claims to store together with the user.
    pub claims: Vec<Claim>,
    /// When.
    pub at: Timestamp,
}

impl User {
    /// The account of somebody who signs in for the first time.
    pub fn join(identity: Identity, now: Timestamp, random: &dyn Random) -> Self {
        let id = UserId::new(now, random);
        let blank = Self {
            id,
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: None,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
            joined_at: now,
            last_seen_at: now,
            own_names: OwnNames::default(),
            username: None,
            renamed_at: None,
            profile: Profile::default(),
            version: 0,
        };
        blank.sign_in(identity, now)
    }

    /// The account after another sign-in. What the provider does not tell this time stays as it was
    /// (fault D16: names were overwritten with nothing), and so does a name that the user edited;
    /// roles follow the provider at every sign-in.
    #[must_use]
    pub fn sign_in(self, identity: Identity, now: Timestamp) -> Self {
        let verified = identity.email.filter(|_| identity.email_verified);
        let mut roles = identity.roles;
        roles.sort_unstable();
        roles.dedup();
        let names = self.own_names;
        let name = |own: bool, new: &str, old: String| if own { old } else { told(new, old) };
        Self {
            email: verified.and_then(|email| text::email(&email).ok()).or(self.email),
            given_name: name(names.given, &identity.given_name, self.given_name),
            family_name: name(names.family, &identity.family_name, self.family_name),
            roles,
            last_seen_at: now.max(self.last_seen_at),
            version: self.version + 1,
            ..self
        }
    }

    /// The account after `edit`, or `None` when it asks for nothing new. `claims` are those on the
    /// names that the user has and wants.
    pub fn edit(
        &self,
        edit: &Edit,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Option<Edited>, NamingRefusal> {
        let mut user = self.clone();
        user.own_names.given |= edit.given_name.apply(&mut user.given_name);
        user.own_names.family |= edit.family_name.apply(&mut user.family_name);
        edit.apply(&mut user.profile);
        let wanted = self.wanted_username(edit);
        let claims = match wanted {
            None => Vec::new(),
            Some(wanted) => {
                user.renamed_at = self.username.as_ref().map(|_| now);
                user.username = Some(wanted.clone());
                username::take(wanted, &self.id, self.renamed_at, claims, now)?
            }
        };
        if user == *self {
            return Ok(None);
        }
        user.version += 1;
        Ok(Some(Edited { user, claims, at: now }))
    }

    /// The username that `edit` asks for, if it is not the one that the user has.
    pub fn wanted_username<'edit>(&self, edit: &'edit Edit) -> Option<&'edit Username> {
        edit.username.as_ref().filter(|wanted| self.username.as_ref() != Some(*wanted))
    }

    /// What an audience sees of the user; `None` when it may not know that there is one.
    pub fn shown_to(&self, audience: Audience) -> Option<PublicProfile> {
        let profile = &self.profile;
        let shows = |field| profile.shows(field, audience);
        if !shows(Field::Profile) {
            return None;
        }
        let text = |field, text: &str| (shows(field) && !text.is_empty()).then(|| text.to_owned());
        let list = |field, list: &[String]| if shows(field) { list.to_vec() } else { Vec::new() };
        Some(PublicProfile {
            username: self.username.clone()?,
            given_name: text(Field::GivenName, &self.given_name),
            family_name: text(Field::FamilyName, &self.family_name),
            about: text(Field::About, &profile.about),
            avatar_url: profile.avatar_url.clone().filter(|_| shows(Field::AvatarUrl)),
            categories: list(Field::Categories, &profile.categories),
            skills: list(Field::Skills, &profile.skills),
            languages: list(Field::Languages, &profile.languages),
        })
    }

    /// The day of the last sign-in, UTC.
    pub fn last_seen_on(&self) -> String {
        day(self.last_seen_at)
    }
}

fn told(new: &str, old: String) -> String {
    match text::normalize_required(new, NAME_CHARACTERS_MAX) {
        Ok(name) => name,
        Err(_) => old,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::{Change, Patch, Visibility};
    use crate::random::SeededRandom;

    fn identity() -> Identity {
        Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: Some("Ada@Example.org".to_owned()),
            email_verified: true,
            given_name: "Ada".to_owned(),
            family_name: "Lovelace".to_owned(),
            roles: vec![Role::Admin, Role::Admin],
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn d_16_a_later_sign_in_never_blanks_what_was_known() {
        let user = User::join(identity(), at(1), &SeededRandom::new(1));
        assert_eq!(user.email.as_deref(), Some("ada@example.org"));
        assert_eq!((user.version, user.roles.as_slice()), (1, [Role::Admin].as_slice()));
        let silent = Identity {
            email: None,
            given_name: String::new(),
            family_name: " ".to_owned(),
            roles: Vec::new(),
            ..identity()
        };
        let later = user.clone().sign_in(silent, at(90_000));
        assert_eq!(later.given_name, "Ada");
        assert_eq!(later.family_name, "Lovelace");
        assert_eq!(later.email, user.email);
        assert_eq!(later.joined_at, user.joined_at);
        assert_eq!((later.version, later.roles.len()), (2, 0));
        assert_eq!(later.last_seen_on(), "1970-01-02");
    }

    fn edit(patch: Patch) -> Edit {
        patch.check().unwrap()
    }

    #[test]
    fn a_name_that_its_user_edited_is_not_the_providers_any_more() {
        let user = User::join(identity(), at(1), &SeededRandom::new(1));
        let given = |given_name| edit(Patch { given_name, ..Patch::default() });
        for (change, name) in
            [(Change::Set(" Countess ".to_owned()), "Countess"), (Change::Remove, "")]
        {
            let edited = user.edit(&given(change), &Claims::default(), at(2)).unwrap().unwrap();
            assert_eq!((edited.user.given_name.as_str(), edited.user.version), (name, 2));
            let renamed = Identity { family_name: "King".to_owned(), ..identity() };
            let later = edited.user.sign_in(renamed, at(3));
            assert_eq!((later.given_name.as_str(), later.family_name.as_str()), (name, "King"));
        }
        assert_eq!(user.edit(&given(Change::Keep), &Claims::default(), at(2)), Ok(None));
    }

    #[test]
    fn a_username_is_chosen_changed_after_a_week_and_kept_when_asked_for_again() {
        let day = 24 * 60 * 60;
        let mut user = User::join(identity(), at(1), &SeededRandom::new(1));
        let mut claims = Claims::default();
        for (wanted, now, stored) in [
            ("ada", 0, Ok(vec!["ada"])),
            ("ADA", 0, Ok(vec![])),
            ("countess", day, Ok(vec!["countess", "ada"])),
            ("lovelace", 2 * day, Err(NamingRefusal::TooSoon { from: at(8 * day) })),
            ("countess", 2 * day, Ok(vec![])),
            ("lovelace", 8 * day, Ok(vec!["lovelace", "countess"])),
        ] {
            let username = Change::Set(wanted.to_owned());
            let result = user.edit(&edit(Patch { username, ..Patch::default() }), &claims, at(now));
            let names = |edited: &Option<Edited>| {
                let claims = edited.iter().flat_map(|edited| edited.claims.clone());
                claims.map(|claim| claim.username.to_string()).collect::<Vec<_>>()
            };
            let expected =
                stored.map(|names| names.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>());
            assert_eq!(result.as_ref().map(names).map_err(Clone::clone), expected, "{wanted}");
            if let Ok(Some(edited)) = result {
                claims.current = edited.claims.first().cloned();
                user = edited.user;
            }
        }
        assert_eq!(user.username.unwrap().as_str(), "lovelace");
    }

    #[test]
    fn c_19_what_a_change_does_not_name_stays() {
        let user = User::join(identity(), at(1), &SeededRandom::new(1));
        let full = edit(Patch {
            about: Change::Set("<b>Poet</b>".to_owned()),
            skills: Change::Set(vec!["Analysis".to_owned()]),
            visibility: Change::Set(BTreeMap::from([
                ("about".to_owned(), Some("public".to_owned())),
                ("skills".to_owned(), Some("private".to_owned())),
            ])),
            ..Patch::default()
        });
        let user = user.edit(&full, &Claims::default(), at(2)).unwrap().unwrap().user;
        assert_eq!(user.profile.about, "<b>Poet</b>");
        let one = edit(Patch {
            visibility: Change::Set(BTreeMap::from([("about".to_owned(), None)])),
            ..Patch::default()
        });
        let later = user.edit(&one, &Claims::default(), at(3)).unwrap().unwrap().user;
        assert_eq!(later.profile.visibility(Field::About), Field::About.default_visibility());
        assert_eq!(later.profile.visibility(Field::Skills), Visibility::Private);
        let mut expected = user.clone();
        expected.profile.visibility.remove(&Field::About);
        expected.version += 1;
        assert_eq!(later, expected);
        assert_eq!(later.shown_to(Audience::Member), None, "nobody is found without a name");
    }

    #[test]
    fn s_13_an_unverified_address_is_not_kept() {
        let unverified = Identity { email_verified: false, ..identity() };
        assert_eq!(User::join(unverified, at(1), &SeededRandom::new(1)).email, None);
    }
}
