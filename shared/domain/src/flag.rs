//! Feature flags: for whom a feature is open, changed without a deployment.
//!
//! Every flag is declared here, with who owns it, what happens when nobody has set it or its value
//! cannot be read, and what is not lost while it is closed. No flag may close what records a fact.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::id::UserId;
use crate::role::Role;
use crate::route_group;

/// A feature that can be closed.
#[derive(Debug)]
pub struct Flag {
    /// The stable name, kebab-case.
    pub name: &'static str,
    /// What is open when it is open.
    pub purpose: &'static str,
    /// The context that answers for it.
    pub owner: &'static str,
    /// What counts when nobody has set it, and while its value cannot be read.
    pub default: Rollout,
    /// What stays as it is for people for whom it is closed.
    pub kept_when_closed: &'static str,
}

/// Whether newcomers are sent to the provider's sign-up form.
pub static SIGN_UP: Flag = Flag {
    name: "sign-up",
    purpose: "Newcomers are sent to the identity provider's sign-up form.",
    owner: "identity",
    default: Rollout::On,
    kept_when_closed: "Whoever has an account signs in as always.",
};

/// Whether members can search for each other.
pub static USER_SEARCH: Flag = Flag {
    name: "user-search",
    purpose: "Members search for each other.",
    owner: "identity",
    default: Rollout::On,
    kept_when_closed: "Profiles are shown to who knows the username, and the index is kept up.",
};

impl Flag {
    /// Every flag, by name.
    pub const ALL: [&'static Self; 6] = [
        &route_group::LEARNING,
        &route_group::MEMBERS,
        &route_group::OTHER,
        &route_group::SIGN_IN,
        &SIGN_UP,
        &USER_SEARCH,
    ];

    /// The flag of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|flag| flag.name == name)
    }
}

/// For whom a feature is open. Each of these opens it for everybody for whom the ones before it do,
/// so that a rollout from one to the next closes it for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rollout {
    /// For nobody.
    Off,
    /// For our own people: whoever has a role.
    Internal,
    /// For our own people and a share of all the others, the same ones every time.
    Share(Percent),
    /// For everybody, known or not.
    On,
}

/// A share between nobody and everybody: 1 to 99 in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

/// Who asks for a feature.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'visitor> {
    /// The user.
    pub user: &'visitor UserId,
    /// What they may do.
    pub roles: &'visitor [Role],
}

/// A text that is not the value of a flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be off, internal, on, or a share from 1% to 99%")]
pub struct InvalidRollout;

impl Rollout {
    /// Whether the feature behind `flag` is open for somebody; `None` is somebody unknown, for whom
    /// it is open only when it is open for everybody.
    pub fn admits(self, flag: &Flag, visitor: Option<Visitor<'_>>) -> bool {
        match (self, visitor) {
            (Self::On, _) => true,
            (Self::Off, _) | (Self::Internal | Self::Share(_), None) => false,
            (Self::Internal, Some(visitor)) => visitor.is_internal(),
            (Self::Share(Percent(percent)), Some(visitor)) => {
                visitor.is_internal() || bucket(flag.name, visitor.user) < percent
            }
        }
    }
}

impl Visitor<'_> {
    fn is_internal(self) -> bool {
        !self.roles.is_empty()
    }
}

/// One of a hundred places that a user has for one flag, for good. It is the start of a SHA-256 and
/// not of a hash that differs between processes, and the flag is hashed too, so that it is not the
/// same people who are always first.
fn bucket(flag: &str, user: &UserId) -> u8 {
    let mut hash = Sha256::new_with_prefix(b"rollcall flag\0");
    hash.update((flag.len() as u64).to_be_bytes());
    hash.update(flag);
    hash.update(user.as_str());
    let digest = hash.finalize();
    let start = digest.iter().take(8).fold(0_u64, |start, byte| (start << 8) | u64::from(*byte));
    u8::try_from(start % 100).unwrap_or_default()
}

impl fmt::Display for Rollout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::Internal => formatter.write_str("internal"),
            Self::Share(Percent(percent)) => write!(formatter, "{percent}%"),
            Self::On => formatter.write_str("on"),
        }
    }
}

impl FromStr for Rollout {
    type Err = InvalidRollout;

    fn from_str(text: &str) -> Result<Self, InvalidRollout> {
        match text {
            "off" => Ok(Self::Off),
            "internal" => Ok(Self::Internal),
            "on" => Ok(Self::On),
            share => {
                let digits = share.strip_suffix('%').ok_or(InvalidRollout)?;
                let percent = digits.parse::<u8>().map_err(|_error| InvalidRollout)?;
                // One spelling per share: `07%` and `+7%` are not it.
                let plain = percent.to_string() == digits && (1..=99).contains(&percent);
                plain.then_some(Self::Share(Percent(percent))).ok_or(InvalidRollout)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    static OTHER: Flag = Flag { name: "other", ..SIGN_UP_LIKE };
    const SIGN_UP_LIKE: Flag = Flag {
        name: "sign-up",
        purpose: "",
        owner: "",
        default: Rollout::Off,
        kept_when_closed: "",
    };

    fn user(seed: u64) -> UserId {
        UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(seed))
    }

    fn share(percent: u8) -> Rollout {
        Rollout::Share(Percent(percent))
    }

    fn in_order() -> Vec<Rollout> {
        let ends = [Rollout::Off, Rollout::Internal];
        ends.into_iter().chain((1..=99).map(share)).chain([Rollout::On]).collect()
    }

    #[test]
    fn every_value_has_one_spelling() {
        for rollout in in_order() {
            assert_eq!(rollout.to_string().parse(), Ok(rollout));
        }
        for text in [
            "", "On", "OFF", "true", "yes", "1", "50", "%", "0%", "100%", "101%", "256%", "07%",
            "+7%", "-1%", "5.5%", " 5%", "5 %", "5%%", "on\n",
        ] {
            assert_eq!(text.parse::<Rollout>(), Err(InvalidRollout), "{text:?}");
        }
    }

    #[test]
    fn declarations_are_whole_and_names_differ() {
        for (place, flag) in Flag::ALL.iter().enumerate() {
            assert_eq!(Flag::ALL.iter().position(|other| other.name == flag.name), Some(place));
            assert!(Flag::named(flag.name).is_some_and(|found| found.name == flag.name));
            let texts = [flag.purpose, flag.owner, flag.kept_when_closed];
            assert!(texts.iter().all(|text| !text.is_empty()), "{}", flag.name);
        }
        assert!(Flag::named("Sign-Up").is_none());
    }

    /// The places of known users never change: whoever was in stays in across processes, versions
    /// and machines (fault 33 of the quest system, where one id gave 31, 82 and 83).
    #[test]
    fn q_33_a_users_place_is_the_same_for_ever() {
        let id = |number: u32| format!("usr_{number:032x}").parse().unwrap();
        let places: Vec<u8> = (0..6).map(|number| bucket("sign-up", &id(number))).collect();
        assert_eq!(places, [33, 20, 87, 0, 94, 11]);
    }

    #[test]
    fn a_share_is_about_its_size_and_flags_are_independent() {
        let users: Vec<UserId> = (0..4_000).map(user).collect();
        let admits =
            |flag: &Flag, user: &UserId| share(25).admits(flag, Some(Visitor { user, roles: &[] }));
        let one = users.iter().filter(|user| admits(&SIGN_UP, user)).count();
        let both =
            users.iter().filter(|user| admits(&SIGN_UP, user) && admits(&OTHER, user)).count();
        // The users are fixed, so these are numbers and not chances: a quarter, and a quarter of it.
        assert!((900..=1_100).contains(&one), "{one} of 4000");
        assert!((200..=300).contains(&both), "{both} of 4000");
    }

    proptest! {
        #[test]
        fn who_is_in_stays_in_as_a_rollout_goes_on(
            seed in any::<u64>(),
            has_role in any::<bool>(),
            known in any::<bool>(),
        ) {
            let (user, roles) = (user(seed), [Role::Instructor]);
            let roles: &[Role] = if has_role { &roles } else { &[] };
            let visitor = known.then_some(Visitor { user: &user, roles });
            let admitted: Vec<bool> =
                in_order().into_iter().map(|rollout| rollout.admits(&SIGN_UP, visitor)).collect();
            prop_assert!(admitted.is_sorted(), "{admitted:?}");
            prop_assert!(!admitted[0] && admitted[101]);
            let internal = known && has_role;
            prop_assert_eq!(admitted[1], internal);
        }

        #[test]
        fn no_text_is_a_value_by_accident(text in ".{0,8}") {
            if let Ok(rollout) = text.parse::<Rollout>() {
                prop_assert_eq!(rollout.to_string(), text);
            }
        }
    }
}
