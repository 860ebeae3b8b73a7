//! What a user may do beyond being a member.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role that an identity provider group or an administrator gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs Rollcall: CRM status, dead letters, users.
    Admin,
    /// Grades and awards.
    Instructor,
    /// Posts casting calls.
    Recruiter,
}

impl Role {
    /// Whether who has this role may do what is for `needed`: administrators may do what instructors
    /// may, and otherwise each role is for itself.
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::Admin && needed == Self::Instructor)
    }

    /// The name in tokens, tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Instructor => "instructor",
            Self::Recruiter => "recruiter",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a role")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "admin" => Ok(Self::Admin),
            "instructor" => Ok(Self::Instructor),
            "recruiter" => Ok(Self::Recruiter),
            _ => Err(UnknownRole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_may_do_what_instructors_may_and_nobody_else_anything_of_others() {
        let roles = [Role::Admin, Role::Instructor, Role::Recruiter];
        for held in roles {
            for needed in roles {
                let expected = held == needed || (held, needed) == (Role::Admin, Role::Instructor);
                assert_eq!(held.covers(needed), expected, "{held} {needed}");
            }
        }
    }
}
