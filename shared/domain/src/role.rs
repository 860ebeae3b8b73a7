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
