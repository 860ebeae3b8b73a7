//! What a token may be used for.

use std::fmt;
use std::str::FromStr;

/// A scope of ours at the identity provider: the resource server's name, a slash and what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Watching and steering operation: CRM status, dead letters.
    Operate,
}

impl Scope {
    /// The name in tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operate => "rollcall/operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no scope of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text {
            "rollcall/operate" => Ok(Self::Operate),
            _ => Err(UnknownScope),
        }
    }
}
