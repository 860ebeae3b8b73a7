//! Connections between two members. One asks, the other asks as well or accepts, which is the same;
//! either of them ends it, whatever it is.
//!
//! Each of the two has a side of it, and both sides change together (fault C-24: the two sides were
//! never synchronised). What one side says follows from the other, so nothing has to be kept in step.

use crate::id::UserId;
use crate::time::Timestamp;

/// How a connection stands, as one side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionState {
    /// This side asked, and the other has not answered.
    Asked,
    /// The other side asked.
    AskedBy,
    /// Both asked.
    Connected,
}

impl ConnectionState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Asked, Self::AskedBy, Self::Connected];

    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::AskedBy => "asked_by",
            Self::Connected => "connected",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The same, as the other side sees it.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Asked => Self::AskedBy,
            Self::AskedBy => Self::Asked,
            Self::Connected => Self::Connected,
        }
    }
}

/// One side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Whose side it is.
    pub own: UserId,
    /// The other one.
    pub other: UserId,
    /// How it stands.
    pub state: ConnectionState,
    /// Since when.
    pub since: Timestamp,
    /// Counts the changes of the connection; both sides have the same.
    pub version: u64,
}

/// Nobody is connected to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is connected to themselves")]
pub struct WithOneself;

impl Connection {
    /// `own`'s side after they asked `other`, given how it stood; `None` when asking changes nothing.
    pub fn ask(
        own: &UserId,
        other: &UserId,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Option<Self>, WithOneself> {
        if own == other {
            return Err(WithOneself);
        }
        let (state, version) = match before {
            None => (ConnectionState::Asked, 1),
            Some(Self { state: ConnectionState::AskedBy, version, .. }) => {
                (ConnectionState::Connected, version + 1)
            }
            Some(Self { state: ConnectionState::Asked | ConnectionState::Connected, .. }) => {
                return Ok(None);
            }
        };
        Ok(Some(Self { own: own.clone(), other: other.clone(), state, since: now, version }))
    }

    /// The other side.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self {
            own: self.other.clone(),
            other: self.own.clone(),
            state: self.state.mirrored(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(seed: u64) -> UserId {
        UserId::new(at(0), &SeededRandom::new(seed))
    }

    #[test]
    fn nobody_asks_themselves() {
        assert_eq!(Connection::ask(&user(1), &user(1), None, at(1)), Err(WithOneself));
    }

    proptest! {
        /// The reference model is who asked: two are connected when both did.
        #[test]
        fn c_24_both_sides_say_who_asked(steps in vec((any::<bool>(), any::<bool>()), 0..30)) {
            let users = [user(1), user(2)];
            let (mut first_side, mut asked) = (None::<Connection>, BTreeSet::new());
            for (second_acts, ends) in steps {
                let (own, other) = if second_acts { (1, 0) } else { (0, 1) };
                if ends {
                    first_side = None;
                    asked.clear();
                } else {
                    let before = first_side.as_ref().map(|side| {
                        if second_acts { side.mirrored() } else { side.clone() }
                    });
                    let after =
                        Connection::ask(&users[own], &users[other], before.as_ref(), at(1)).unwrap();
                    let grew = asked.insert(own);
                    prop_assert_eq!(after.is_some(), grew);
                    if let Some(after) = after {
                        prop_assert_eq!(after.mirrored().mirrored(), after.clone());
                        first_side = Some(if second_acts { after.mirrored() } else { after });
                    }
                }
                let expected = match (asked.contains(&0), asked.contains(&1)) {
                    (false, false) => None,
                    (true, false) => Some(ConnectionState::Asked),
                    (false, true) => Some(ConnectionState::AskedBy),
                    (true, true) => Some(ConnectionState::Connected),
                };
                prop_assert_eq!(first_side.as_ref().map(|side| side.state), expected);
                let version = asked.len() as u64;
                prop_assert_eq!(first_side.as_ref().map_or(0, |side| side.version), version);
            }
        }
    }
}
