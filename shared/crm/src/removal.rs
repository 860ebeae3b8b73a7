//! Removal: a user's contact leaves the CRM, and nothing about that user is sent ever again.
//!
//! The wish is kept on the ledger row, in the transaction of whoever decided it. From then on every
//! sender who takes the user's lease finds it there, so a call that was in flight before is over, and
//! none follows that could make the contact anew. What remains of the user is the wish with the time
//! of its fulfilment: a tombstone that turns every late change, row and replay into nothing.

use rollcall_domain::time::Timestamp;

/// How a contact leaves the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovalKind {
    /// For good, with everything the CRM keeps about the person (GDPR, article 17).
    Erase,
    /// To the recycle bin, from which people in the CRM can bring it back.
    Archive,
}

impl RemovalKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Erase, Self::Archive];

    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::Archive => "archive",
        }
    }
}

/// A contact that has to leave the CRM, or has left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Names this wish, so that its fulfilment is never taken for that of a later one. Random, of the
    /// shape of [`crate::pending::token`].
    pub id: String,
    /// How.
    pub kind: RemovalKind,
    /// The user's address when it was wished: the only trace of a contact that the CRM made by
    /// address without us hearing of it. Gone once the contact is.
    pub email: Option<String>,
    /// When it was wished.
    pub asked_at: Timestamp,
    /// When it was found that there is no contact any more.
    pub done_at: Option<Timestamp>,
}

impl Removal {
    /// A wish.
    pub fn new(id: String, kind: RemovalKind, email: Option<String>, now: Timestamp) -> Self {
        Self { id, kind, email, asked_at: now, done_at: None }
    }

    /// The tombstone.
    #[must_use]
    pub fn done(self, now: Timestamp) -> Self {
        Self { email: None, done_at: Some(now), ..self }
    }
}
