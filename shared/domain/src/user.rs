//! Users: the person behind an account.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::limits::{CLOCKS_DIFFER_SECONDS, NAME_CHARACTERS_MAX};
use crate::profile::{Audience, Contacts, Edit, Field, Physical, Profile, PublicProfile, age};
use crate::random::Random;
use crate::role::Role;
use crate::search::{PlaceChange, place_changes};
use crate::standing::{Closed, Standing, StandingRefusal};
use crate::text;
use crate::time::{Timestamp, after_seconds, day};
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
    /// How many identities sign in as the user, the first included.
    pub identities: u32,
    /// A verified e-mail address. An address that nobody verified is not kept (fault S13).
    pub email: Option<String>,
    /// Given name; may be empty.
    pub given_name: String,
    /// Family name; may be empty.
    pub family_name: String,
    /// Roles from the provider's groups at the last sign-in, sorted.
    pub provider_roles: Vec<Role>,
    /// Roles that an administrator granted, sorted; no sign-in changes them.
    pub granted_roles: Vec<Role>,
    /// How the account stands.
    pub standing: Standing,
    /// What the user pays for; the server alone decides.
    pub plan: Plan,
    /// Whether the organisation vouches for who the user is; the server alone decides.
    pub verified: bool,
    /// Whether the CRM hears of the user, which the user alone decides.
    pub crm_sync: bool,
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
    /// Counts the changes of what the user may edit, whoever made them; 1 for a new one.
    pub profile_version: u64,
    /// Counts the changes of what administrators decide, and of the standing; 1 for a new one.
    pub desk_version: u64,
}

/// What a user pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Nothing.
    #[default]
    Free,
    /// The paid plan.
    Plus,
}

impl Plan {
    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Plus => "plus",
        }
    }
}

/// A user after a sign-in, with what becomes of the claims on addresses that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// What is to be stored about addresses together with the user.
    pub address: AddressChange,
}

/// What a sign-in means for the claims that make an address one user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// Nothing changes.
    Kept,
    /// The user's address is theirs from now on.
    Claimed {
        /// The address that was theirs before.
        released: Option<String>,
    },
    /// The provider vouches for an address that is another user's, so the user's stays what it was.
    Refused,
}

/// No account is made: the address that the provider vouches for is this user's already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is an account with this address already")]
pub struct AddressTaken {
    /// The address, in the form in which it is claimed.
    pub address: String,
    /// Whose it is.
    pub owner: UserId,
}

impl Identity {
    /// The address in the form in which it is claimed, if the provider verified it.
    pub fn verified_email(&self) -> Option<String> {
        self.email
            .as_ref()
            .filter(|_| self.email_verified)
            .and_then(|email| text::email(email).ok())
    }
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
    /// Changes of the index by which members find the user, to store together with the user.
    pub places: Vec<PlaceChange>,
    /// When.
    pub at: Timestamp,
}

impl User {
    /// The account of somebody who signs in for the first time. `owner` is whose the identity's
    /// verified address is; when it is anybody's, no second account is made for it (fault S19).
    pub fn join(
        identity: Identity,
        owner: Option<&UserId>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<SignedIn, AddressTaken> {
        if let (Some(address), Some(owner)) = (identity.verified_email(), owner) {
            return Err(AddressTaken { address, owner: owner.clone() });
        }
        let id = UserId::new(now, random);
        let blank = Self {
            id,
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            identities: 1,
            email: None,
            given_name: String::new(),
            family_name: String::new(),
            provider_roles: Vec::new(),
            granted_roles: Vec::new(),
            standing: Standing::Active,
            plan: Plan::Free,
            verified: false,
            crm_sync: true,
            joined_at: now,
            last_seen_at: now,
            own_names: OwnNames::default(),
            username: None,
            renamed_at: None,
            profile: Profile::default(),
            version: 0,
            profile_version: 0,
            desk_version: 1,
        };
        let SignedIn { user, address } = blank.renew(identity, None, now);
        Ok(SignedIn { user: Self { profile_version: 1, ..user }, address })
    }

    /// The account after another sign-in; `owner` is whose the identity's verified address is.
    ///
    /// What the provider does not tell this time stays as it was (fault D16: names were overwritten
    /// with nothing), and so does a name that the user edited. Names and address follow the identity
    /// that the account was made for, unless the address is somebody else's; other identities fill
    /// what is empty. The provider's part of the roles is what it says of the identity that signs in.
    pub fn sign_in(
        self,
        identity: Identity,
        owner: Option<&UserId>,
        now: Timestamp,
    ) -> Result<SignedIn, Closed> {
        self.standing.check_open(now)?;
        Ok(self.renew(identity, owner, now))
    }

    fn renew(self, identity: Identity, owner: Option<&UserId>, now: Timestamp) -> SignedIn {
        let is_first = identity.issuer == self.issuer && identity.subject == self.subject;
        let address = identity.verified_email().filter(|_| is_first || self.email.is_none());
        let (email, address) = self.address(address, owner);
        let names = self.own_names;
        let name = |own: bool, new: &str, old: &str| {
            let follows = !own && (is_first || old.is_empty());
            if follows { told(new, old) } else { old.to_owned() }
        };
        let given_name = name(names.given, &identity.given_name, &self.given_name);
        let family_name = name(names.family, &identity.family_name, &self.family_name);
        let renamed = given_name != self.given_name || family_name != self.family_name;
        let user = Self {
            email,
            given_name,
            family_name,
            provider_roles: sorted(identity.roles),
            last_seen_at: now.max(self.last_seen_at),
            version: self.version + 1,
            profile_version: self.profile_version + u64::from(renamed),
            ..self
        };
        SignedIn { user, address }
    }

    /// The address after the provider vouched for `told`, which is `owner`'s if anybody's.
    fn address(
        &self,
        told: Option<String>,
        owner: Option<&UserId>,
    ) -> (Option<String>, AddressChange) {
        let Some(told) = told else { return (self.email.clone(), AddressChange::Kept) };
        match owner {
            Some(owner) if *owner != self.id => (self.email.clone(), AddressChange::Refused),
            Some(_) if self.email.as_ref() == Some(&told) => (Some(told), AddressChange::Kept),
            Some(_) | None => {
                let released = self.email.clone().filter(|email| *email != told);
                (Some(told), AddressChange::Claimed { released })
            }
        }
    }

    /// What the user may do, sorted: what the provider says and what administrators granted.
    pub fn roles(&self) -> Vec<Role> {
        sorted([self.provider_roles.as_slice(), &self.granted_roles].concat())
    }

    /// The account, suspended from now on.
    pub fn suspend(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        let standing = self.standing.suspend(now)?;
        Ok(self.standing_as(standing))
    }

    /// The account as it stood before it was suspended.
    pub fn reinstate(self) -> Result<Self, StandingRefusal> {
        let standing = self.standing.reinstate()?;
        Ok(self.standing_as(standing))
    }

    /// The account, to be erased after seven days.
    pub fn leave(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        let standing = self.standing.leave(now)?;
        Ok(self.standing_as(standing))
    }

    /// The account, to be erased after seven days because the organisation has to; `None` when it is
    /// to be erased already.
    pub fn expel(self, now: Timestamp) -> Option<Self> {
        let standing = self.standing.expel(now);
        (standing != self.standing).then(|| self.standing_as(standing))
    }

    /// The account, to be erased from now on; unchanged when it is already, or within the seconds by
    /// which clocks differ, so that one order that comes twice is one order.
    #[must_use]
    pub fn expel_at_once(self, now: Timestamp) -> Self {
        let soon = after_seconds(now, CLOCKS_DIFFER_SECONDS);
        if self.standing.erase_at().is_some_and(|at| at <= soon) {
            return self;
        }
        let standing = self.standing.expel_by(now);
        if standing == self.standing { self } else { self.standing_as(standing) }
    }

    /// The account, not to be erased after all.
    pub fn stay(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        let standing = self.standing.stay(now)?;
        Ok(self.standing_as(standing))
    }

    /// The account, of which the CRM hears from now on or does no more; `None` when it is so already.
    pub fn set_crm_sync(self, wanted: bool) -> Option<Self> {
        (wanted != self.crm_sync).then(|| Self {
            crm_sync: wanted,
            version: self.version + 1,
            profile_version: self.profile_version + 1,
            ..self
        })
    }

    fn standing_as(self, standing: Standing) -> Self {
        Self { standing, version: self.version + 1, desk_version: self.desk_version + 1, ..self }
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
        user.profile_version += 1;
        let places = place_changes(Some(self), Some(&user));
        Ok(Some(Edited { user, claims, places, at: now }))
    }

    /// The username that `edit` asks for, if it is not the one that the user has.
    pub fn wanted_username<'edit>(&self, edit: &'edit Edit) -> Option<&'edit Username> {
        edit.username.as_ref().filter(|wanted| self.username.as_ref() != Some(*wanted))
    }

    /// What an audience sees of the user on the day `today`; `None` when it may not know that there is
    /// one.
    pub fn shown_to(&self, audience: Audience, today: Date) -> Option<PublicProfile> {
        if !self.standing.is_shown() {
            return None;
        }
        let profile = &self.profile;
        let shows = |field| profile.shows(field, audience);
        if !shows(Field::Profile) {
            return None;
        }
        let text = |field, text: &str| (shows(field) && !text.is_empty()).then(|| text.to_owned());
        let fact = |field, fact: &Option<String>| fact.clone().filter(|_| shows(field));
        let list = |field, list: &[String]| if shows(field) { list.to_vec() } else { Vec::new() };
        Some(PublicProfile {
            username: self.username.clone()?,
            given_name: text(Field::GivenName, &self.given_name),
            family_name: text(Field::FamilyName, &self.family_name),
            about: text(Field::About, &profile.about),
            avatar_url: fact(Field::AvatarUrl, &profile.avatar_url),
            categories: list(Field::Categories, &profile.categories),
            skills: list(Field::Skills, &profile.skills),
            languages: list(Field::Languages, &profile.languages),
            age: profile.birth_date.filter(|_| shows(Field::Age)).map(|birth| age(birth, today)),
            physical: Physical {
                height_cm: profile.physical.height_cm.filter(|_| shows(Field::HeightCm)),
                hair_colour: fact(Field::HairColour, &profile.physical.hair_colour),
                eye_colour: fact(Field::EyeColour, &profile.physical.eye_colour),
            },
            contacts: Contacts {
                phone: fact(Field::Phone, &profile.contacts.phone),
                website: fact(Field::Website, &profile.contacts.website),
                city: fact(Field::City, &profile.contacts.city),
                country: fact(Field::Country, &profile.contacts.country),
            },
        })
    }

    /// The day of the last sign-in, UTC.
    pub fn last_seen_on(&self) -> String {
        day(self.last_seen_at)
    }
}

fn told(new: &str, old: &str) -> String {
    text::normalize_required(new, NAME_CHARACTERS_MAX).unwrap_or_else(|_| old.to_owned())
}

/// Each role once, in order.
pub(crate) fn sorted(mut roles: Vec<Role>) -> Vec<Role> {
    roles.sort_unstable();
    roles.dedup();
    roles
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::{Change, Patch, Visibility};
    use crate::random::SeededRandom;
    use crate::time::date;

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

    fn join(identity: Identity) -> User {
        User::join(identity, None, at(1), &SeededRandom::new(1)).unwrap().user
    }

    fn sign_in(user: User, identity: Identity, now: Timestamp) -> User {
        let owner = user.email.as_ref().map(|_| user.id.clone());
        user.sign_in(identity, owner.as_ref(), now).unwrap().user
    }

    #[test]
    fn d_16_a_later_sign_in_never_blanks_what_was_known() {
        let user = join(identity());
        assert_eq!(user.email.as_deref(), Some("ada@example.org"));
        assert_eq!((user.version, user.profile_version, user.roles()), (1, 1, vec![Role::Admin]));
        let silent = Identity {
            email: None,
            given_name: String::new(),
            family_name: " ".to_owned(),
            roles: Vec::new(),
            ..identity()
        };
        let later = sign_in(user.clone(), silent, at(90_000));
        assert_eq!(later.given_name, "Ada");
        assert_eq!(later.family_name, "Lovelace");
        assert_eq!(later.email, user.email);
        assert_eq!(later.joined_at, user.joined_at);
        assert_eq!((later.version, later.profile_version, later.roles().len()), (2, 1, 0));
        assert_eq!(later.last_seen_on(), "1970-01-02");
    }

    fn edit(patch: Patch) -> Edit {
        patch.check(date(at(90_000))).unwrap()
    }

    #[test]
    fn a_name_that_its_user_edited_is_not_the_providers_any_more() {
        let user = join(identity());
        let given = |given_name| edit(Patch { given_name, ..Patch::default() });
        for (change, name) in
            [(Change::Set(" Countess ".to_owned()), "Countess"), (Change::Remove, "")]
        {
            let edited = user.edit(&given(change), &Claims::default(), at(2)).unwrap().unwrap();
            assert_eq!((edited.user.given_name.as_str(), edited.user.version), (name, 2));
            let renamed = Identity { family_name: "King".to_owned(), ..identity() };
            let later = sign_in(edited.user, renamed, at(3));
            assert_eq!((later.given_name.as_str(), later.family_name.as_str()), (name, "King"));
        }
        assert_eq!(user.edit(&given(Change::Keep), &Claims::default(), at(2)), Ok(None));
    }

    #[test]
    fn a_username_is_chosen_changed_after_a_week_and_kept_when_asked_for_again() {
        let day = 24 * 60 * 60;
        let mut user = join(identity());
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
        let user = join(identity());
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
        expected.profile_version += 1;
        assert_eq!(later, expected);
        assert_eq!(
            later.shown_to(Audience::Member, date(at(3))),
            None,
            "nobody is found without a name"
        );
    }

    #[test]
    fn s_13_an_unverified_address_is_not_kept() {
        let unverified = Identity { email_verified: false, ..identity() };
        assert_eq!(join(unverified).email, None);
    }

    #[test]
    fn s_19_one_address_is_one_users_and_moves_only_to_where_nobody_is() {
        let user = join(identity());
        let other = UserId::new(at(9), &SeededRandom::new(9));
        let taken = User::join(identity(), Some(&other), at(1), &SeededRandom::new(2));
        assert_eq!(
            taken,
            Err(AddressTaken { address: "ada@example.org".to_owned(), owner: other.clone() })
        );
        let (old, new) = ("ada@example.org", "new@example.org");
        let claimed = |released: Option<&str>| AddressChange::Claimed {
            released: released.map(ToOwned::to_owned),
        };
        for (has, told, verified, owner, gets, change) in [
            (Some(old), Some(old), true, Some(&user.id), Some(old), AddressChange::Kept),
            (
                Some(old),
                Some("ADA@example.org"),
                true,
                Some(&user.id),
                Some(old),
                AddressChange::Kept,
            ),
            // An account from before there were claims.
            (Some(old), Some(old), true, None, Some(old), claimed(None)),
            (Some(old), Some(new), true, None, Some(new), claimed(Some(old))),
            (Some(old), Some(new), true, Some(&user.id), Some(new), claimed(Some(old))),
            (Some(old), Some(new), true, Some(&other), Some(old), AddressChange::Refused),
            (Some(old), Some(new), false, None, Some(old), AddressChange::Kept),
            (Some(old), Some("no address"), true, None, Some(old), AddressChange::Kept),
            (Some(old), None, true, None, Some(old), AddressChange::Kept),
            (None, Some(new), true, None, Some(new), claimed(None)),
            (None, Some(new), true, Some(&other), None, AddressChange::Refused),
        ] {
            let owned = |text: &str| text.to_owned();
            let before = User { email: has.map(owned), ..user.clone() };
            let identity =
                Identity { email: told.map(owned), email_verified: verified, ..identity() };
            let signed_in = before.sign_in(identity, owner, at(2)).unwrap();
            let result = (signed_in.user.email.as_deref(), signed_in.address);
            assert_eq!(result, (gets, change), "{has:?} {told:?} {verified} {owner:?}");
        }
    }

    #[test]
    fn who_is_expelled_at_once_by_two_clocks_is_expelled_once() {
        let user = join(identity());
        let week = user.clone().expel(at(10)).unwrap();
        let gone = user.expel_at_once(at(10));
        assert_eq!(gone.standing.erase_at(), Some(at(10)));
        for second in [10 - CLOCKS_DIFFER_SECONDS, 9, 10, 11, 1_000] {
            assert_eq!(gone.clone().expel_at_once(at(second)), gone, "{second}");
        }
        assert_eq!(gone.clone().expel(at(11)), None);
        assert_eq!(week.expel_at_once(at(20)).standing.erase_at(), Some(at(20)));
    }

    #[test]
    fn a_sign_in_replaces_the_providers_roles_and_never_what_an_administrator_granted() {
        let granted_roles = vec![Role::Recruiter];
        let user = User { granted_roles, ..join(identity()) };
        assert_eq!(user.roles(), [Role::Admin, Role::Recruiter]);
        let roles = vec![Role::Recruiter, Role::Instructor];
        let later = sign_in(user, Identity { roles, ..identity() }, at(2));
        assert_eq!(later.roles(), [Role::Instructor, Role::Recruiter]);
        let none = sign_in(later, Identity { roles: Vec::new(), ..identity() }, at(3));
        assert_eq!(none.roles(), [Role::Recruiter]);
    }

    #[test]
    fn signing_in_is_no_change_of_the_profile_unless_the_provider_tells_another_name() {
        let user = join(identity());
        let again = sign_in(user, Identity { roles: Vec::new(), ..identity() }, at(2));
        assert_eq!((again.version, again.profile_version), (2, 1));
        let renamed = Identity { given_name: "Augusta".to_owned(), ..identity() };
        let renamed = sign_in(again, renamed, at(3));
        assert_eq!((renamed.version, renamed.profile_version), (3, 2));
        let suspended = renamed.suspend(at(4)).unwrap();
        assert_eq!((suspended.version, suspended.profile_version), (4, 2));
        assert_eq!(suspended.clone().sign_in(identity(), None, at(5)), Err(Closed::Suspended));
        let leaving = suspended.reinstate().unwrap().leave(at(6)).unwrap();
        assert_eq!((leaving.version, leaving.standing.as_str()), (6, "leaving"));
        assert_eq!(sign_in(leaving, identity(), at(7)).stay(at(8)).unwrap().version, 8);
    }

    #[test]
    fn a_second_way_to_sign_in_overwrites_nothing_that_the_first_one_told() {
        let user = User { family_name: String::new(), ..join(identity()) };
        let second = Identity {
            subject: "2".to_owned(),
            email: Some("second@example.org".to_owned()),
            given_name: "A.".to_owned(),
            family_name: "King".to_owned(),
            roles: vec![Role::Instructor],
            ..identity()
        };
        let SignedIn { user: later, address } =
            user.clone().sign_in(second.clone(), None, at(2)).unwrap();
        assert_eq!((later.given_name.as_str(), later.family_name.as_str()), ("Ada", "King"));
        assert_eq!((&later.email, address), (&user.email, AddressChange::Kept));
        assert_eq!(later.roles(), [Role::Instructor]);
        let nameless = User { email: None, ..user };
        let filled = nameless.sign_in(second, None, at(2)).unwrap();
        assert_eq!(filled.user.email.as_deref(), Some("second@example.org"));
        assert_eq!(filled.address, AddressChange::Claimed { released: None });
    }
}
