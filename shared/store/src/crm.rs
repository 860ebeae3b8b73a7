//! The table `crm`: what the CRM sync remembers, behind the ports of `rollcall_crm`.
//!
//! | partition key | sort key | item |
//! |---|---|---|
//! | `user#{id}` | `ledger` | what the CRM acknowledged about a user, who may send now, and whether the contact has to go or is gone |
//! | `user#{id}` | `pending#{facet}` | a facet that waits; listed by the index `due` |
//! | `user#{id}` | `milestone#{id}` | a milestone that waits; listed by the index `due`, apart from the facets |
//! | `user#{id}` | `contact#{contact}` | an old id of the user's contact, from before a merge; expires |
//! | `user#{id}` | `drift#{property}` | what somebody else changed in the CRM; expires |
//! | `notice#{id}` | `taken` | a notice of the CRM that was taken; expires |
//! | `dead#{id}` | `letter` | a dead letter, listed under its status by the index `letters` |
//! | `canary#{fingerprint}` | `canary` | which letter was sent ahead of the others with its cause |
//! | `portal` | `budget`, `wake` | what all senders share, and when the drain is woken next |
//! | `reconcile#{table}` | `mark` | a table whose changes were lost to the stream |
//! | `reconcile` | `current` | which reconciliation is under way |
//! | `run#{id}` | `run` | a reconciliation, and how far it came |
//! | `run#{id}` | `page#{number}` | what it found on a page, without values |
//!
//! Every effect is one conditional update or one transaction. Instants that are compared are stored
//! in whole milliseconds, as numbers or as texts of one width; the others as exactly as they came.

mod budget;
mod consent;
mod dead_letters;
mod dead_messages;
mod desk;
mod inbound;
mod ledger;
mod milestones;
mod overview;
mod pending;
mod reconcile;
mod removals;
mod standing;
mod states;

use std::sync::Arc;

use rollcall_domain::id::UserId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_resources::table::{CRM_DUE, CRM_LETTERS};
use rollcall_resources::{Grant, Table};

pub use consent::{ConsentWriter, OptIn};
pub use dead_messages::DeadMessage;
pub use desk::{InvalidPosition, LetterPosition, Replay};
pub use inbound::InboundKeeper;
pub use reconcile::{
    FindingLister, FindingPage, ReconcileWorker, ReconciliationStarter, ReconciliationViewer,
    SchemaApplier, Started,
};
pub use removals::ContactErasure;
pub(crate) use removals::{closed_part, is_removed, removal_of};
pub use standing::{ForeignEdit, UserSync};
pub use states::UserStates;

use crate::audit;
use crate::item::sortable;
use crate::tables::{Tables, capability};

/// The table `crm`. It serves all ports; which of them may be used is up to the grants of the
/// capability that it comes from.
#[derive(Clone, Debug)]
pub struct CrmTable {
    tables: Arc<Tables>,
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident: $($grant:expr),+;)+) => {$(
        capability! { $(#[$doc])* $name, $($grant),+ }

        impl $name {
            /// The table, for this purpose.
            pub fn table(&self) -> Arc<CrmTable> {
                Arc::new(CrmTable { tables: Arc::clone(&self.tables) })
            }
        }
    )+};
}

purposes! {
    /// Sends changes, or marks them as pending.
    ChangeSender: Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:UpdateItem"]);
    /// Marks changes as pending and tables as incomplete.
    PendingMarker: Grant::table(Table::Crm, &["dynamodb:UpdateItem"]);
    /// Sends what is pending: as [`ChangeSender`], and finds and removes pending rows.
    PendingDrainer:
        Grant::table(
            Table::Crm,
            &[
                "dynamodb:BatchWriteItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
        ),
        Grant::index(Table::Crm, CRM_DUE.name);
    /// Shares the budget of calls, and does nothing else.
    BudgetSharer: Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:UpdateItem"]);
    /// Looks at where the sync stands.
    SyncOverseer:
        Grant::table(Table::Crm, &["dynamodb:GetItem"]),
        Grant::index(Table::Crm, CRM_DUE.name),
        Grant::index(Table::Crm, CRM_LETTERS.name);
    /// Lists dead letters.
    DeadLetterLister: Grant::index(Table::Crm, CRM_LETTERS.name);
    /// Finds a dead letter.
    DeadLetterFinder: Grant::table(Table::Crm, &["dynamodb:GetItem"]);
    /// Finds a dead letter, and replays or discards it.
    DeadLetterReplayer:
        Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:UpdateItem"]),
        audit::APPEND;
    /// Finds a dead letter, and replays it with replacements.
    DeadLetterEditor:
        Grant::table(
            Table::Crm,
            &["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"],
        ),
        audit::APPEND;
    /// Finds a dead letter and what is known about its user.
    DeadLetterPreviewer: Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:Query"]);
    /// Finds out where one user stands.
    UserSyncReader:
        Grant::table(Table::Crm, &["dynamodb:Query"]),
        Grant::index(Table::Crm, CRM_LETTERS.name);
    /// Keeps messages that were given up.
    DeadMessageKeeper: Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:UpdateItem"]);
    /// Lists dead letters with one cause, and replays one of them ahead of the others.
    DeadLetterSpreader:
        Grant::table(
            Table::Crm,
            &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"],
        ),
        Grant::index(Table::Crm, CRM_LETTERS.name),
        audit::APPEND;
}

fn user_key(user: &UserId) -> String {
    format!("user#{user}")
}

/// The value that has this name in tables.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Result<T, PortError> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| {
        let text = format!("nothing is called {text:?}");
        PortError::new("decode an item", PortErrorClass::Corrupt, text)
    })
}
