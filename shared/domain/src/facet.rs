//! Facets: the part of a user that one context owns in the CRM.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The part of a user that one context owns in the CRM. A CRM property belongs to exactly one.
///
/// Ordered by the order in which a user's facets must first reach the CRM: identity carries the
/// e-mail address that makes the contact recognisable to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// Who the user is.
    Identity,
    /// What the user enrolled in and completed.
    Learning,
}

impl Facet {
    /// Every facet, in order.
    pub const ALL: [Self; 2] = [Self::Identity, Self::Learning];

    /// The name in tables, queues and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Learning => "learning",
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no facet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a facet")]
pub struct UnknownFacet;

impl FromStr for Facet {
    type Err = UnknownFacet;

    fn from_str(text: &str) -> Result<Self, UnknownFacet> {
        Self::ALL.into_iter().find(|facet| facet.as_str() == text).ok_or(UnknownFacet)
    }
}
