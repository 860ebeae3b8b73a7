//! The audit log: who did what to whom, and when. Entries are written together with what they tell
//! of and are never changed. They name people by id alone, so that the log can outlive a person's
//! data: whoever is erased is a number in it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::catalog::CatalogVersion;
use crate::facet::Facet;
use crate::id::{AuditId, CertificateId, DeadLetterId, InvitationId, ReconciliationId, UserId};
use crate::random::Random;
use crate::role::Role;
use crate::slug::Slug;
use crate::user::Plan;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person.
    User(UserId),
    /// A program with credentials of its own, by its client id.
    Client(String),
    /// A function of ours, by its name.
    Function(&'static str),
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(formatter),
            Self::Client(client) => write!(formatter, "client:{client}"),
            Self::Function(function) => write!(formatter, "function:{function}"),
        }
    }
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person.
    User(UserId),
    /// A change that the CRM refused.
    DeadLetter(DeadLetterId),
    /// A feature flag, by its name.
    Flag(&'static str),
    /// An invitation that an operator sent.
    Invitation(InvitationId),
    /// A certificate.
    Certificate(CertificateId),
    /// The CRM's properties and events.
    CrmSchema,
    /// A comparison of all users with the CRM.
    Reconciliation(ReconciliationId),
    /// The catalogue of courses.
    Catalog,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(formatter),
            Self::DeadLetter(letter) => letter.fmt(formatter),
            Self::Flag(name) => write!(formatter, "flag:{name}"),
            Self::Invitation(invitation) => invitation.fmt(formatter),
            Self::Certificate(certificate) => certificate.fmt(formatter),
            Self::CrmSchema => formatter.write_str("crm-schema"),
            Self::Reconciliation(run) => run.fmt(formatter),
            Self::Catalog => formatter.write_str("catalog"),
        }
    }
}

/// What was done, with what one must know to understand it. A detail is an id, a name of ours or a
/// number: never a secret, never an address, never what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A refused change was sent to the CRM again.
    DeadLetterReplayed {
        /// Whose change.
        user: UserId,
        /// Of which facet.
        facet: Facet,
    },
    /// Definitions that the CRM lacked were ordered there.
    CrmSchemaApplied {
        /// How many.
        steps: usize,
    },
    /// A comparison of all users with the CRM was begun.
    ReconciliationStarted {
        /// What it compares and repairs.
        policy: &'static str,
        /// Whether it only says what it would do.
        dry_run: bool,
    },
    /// A refused change was sent to the CRM again with replaced properties.
    DeadLetterEdited {
        /// Whose change.
        user: UserId,
        /// Of which facet.
        facet: Facet,
        /// Which properties, by their names.
        properties: Vec<String>,
    },
    /// Nothing will be done about a dead letter.
    DeadLetterDiscarded,
    /// A message that was given up went back to its queue.
    DeadMessageReturned {
        /// Which queue, by its name.
        queue: String,
    },
    /// A feature was opened or closed for some.
    FlagSet {
        /// The value before.
        from: String,
        /// The value since.
        to: String,
    },
    /// Somebody was invited to make an account.
    PersonInvited,
    /// An invitation was taken back.
    InvitationWithdrawn,
    /// Another account became a part of this one.
    AccountAbsorbed {
        /// Which.
        from: UserId,
    },
    /// The account became a part of another one.
    MergedInto {
        /// Of which.
        into: UserId,
    },
    /// A user asked to be erased.
    ErasureAsked,
    /// A user called their erasure off.
    ErasureCalledOff,
    /// The CRM erased a person at their wish, so the account is erased too.
    ErasureTakenIn,
    /// The CRM hears of a user from now on, or does no more, as the user wants.
    CrmSyncSet {
        /// Whether it does.
        enabled: bool,
    },
    /// A user is to be erased, since they asked for it in another way than by themselves.
    ErasureOrdered {
        /// Whether that begins at once; else after the grace time, in which it can be called off.
        at_once: bool,
    },
    /// A user was erased.
    UserErased,
    /// An administrator was handed everything that is kept of a user.
    UserExported,
    /// An account was suspended.
    UserSuspended,
    /// A suspension was ended.
    UserReinstated,
    /// These roles are the granted ones from now on.
    RolesGranted {
        /// All of them.
        roles: Vec<Role>,
    },
    /// A user pays for something else from now on.
    PlanChanged {
        /// For what.
        plan: Plan,
    },
    /// A certificate counts no more.
    CertificateRevoked {
        /// Whose it is.
        user: UserId,
    },
    /// The organisation vouches for who the user is, or does no more.
    VerificationChanged {
        /// Whether it does.
        verified: bool,
    },
    /// An instructor graded a task of somebody's.
    TaskGraded {
        /// Of which module.
        module: Slug,
        /// Which task.
        task: Slug,
        /// The score, in percent, of a quiz.
        score: Option<u32>,
        /// Whether that is enough.
        passed: bool,
    },
    /// Somebody got a badge by hand.
    BadgeGranted {
        /// Which.
        badge: Slug,
    },
    /// A badge that was given by hand was taken back.
    BadgeTakenBack {
        /// Which.
        badge: Slug,
    },
    /// Another version of the catalogue is the current one.
    CatalogPublished {
        /// Which.
        version: CatalogVersion,
    },
    /// What an earlier system recorded of somebody became theirs.
    ProgressImported {
        /// The import's name.
        import: Slug,
        /// How many records it wrote.
        records: usize,
    },
    /// What an import wrote was removed.
    ImportUndone {
        /// The import's name.
        import: Slug,
        /// How many records were removed.
        records: usize,
    },
}

/// What an action's entry says beside its name: texts by their names.
pub type Details = BTreeMap<String, String>;

impl Action {
    /// The stable name, kebab-case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeadLetterReplayed { .. } => "dead-letter-replayed",
            Self::CrmSchemaApplied { .. } => "crm-schema-applied",
            Self::ReconciliationStarted { .. } => "reconciliation-started",
            Self::DeadLetterEdited { .. } => "dead-letter-edited",
            Self::DeadLetterDiscarded => "dead-letter-discarded",
            Self::DeadMessageReturned { .. } => "dead-message-returned",
            Self::FlagSet { .. } => "flag-set",
            Self::PersonInvited => "person-invited",
            Self::InvitationWithdrawn => "invitation-withdrawn",
            Self::AccountAbsorbed { .. } => "account-absorbed",
            Self::MergedInto { .. } => "merged-into",
            Self::ErasureAsked => "erasure-asked",
            Self::ErasureCalledOff => "erasure-called-off",
            Self::ErasureTakenIn => "erasure-taken-in",
            Self::CrmSyncSet { .. } => "crm-sync-set",
            Self::ErasureOrdered { .. } => "erasure-ordered",
            Self::UserErased => "user-erased",
            Self::UserExported => "user-exported",
            Self::UserSuspended => "user-suspended",
            Self::UserReinstated => "user-reinstated",
            Self::RolesGranted { .. } => "roles-granted",
            Self::PlanChanged { .. } => "plan-changed",
            Self::CertificateRevoked { .. } => "certificate-revoked",
            Self::VerificationChanged { .. } => "verification-changed",
            Self::TaskGraded { .. } => "task-graded",
            Self::BadgeGranted { .. } => "badge-granted",
            Self::BadgeTakenBack { .. } => "badge-taken-back",
            Self::CatalogPublished { .. } => "catalog-published",
            Self::ProgressImported { .. } => "progress-imported",
            Self::ImportUndone { .. } => "import-undone",
        }
    }

    /// The details.
    pub fn details(&self) -> Details {
        match self {
            Self::DeadLetterReplayed { user, facet } => {
                details([("user_id", user.as_str()), ("facet", facet.as_str())])
            }
            Self::CrmSchemaApplied { steps } => details([("steps", &steps.to_string())]),
            Self::ReconciliationStarted { policy, dry_run } => {
                let dry_run = if *dry_run { "true" } else { "false" };
                details([("policy", policy), ("dry_run", dry_run)])
            }
            Self::DeadLetterEdited { user, facet, properties } => details([
                ("user_id", user.as_str()),
                ("facet", facet.as_str()),
                ("properties", &properties.join(" ")),
            ]),
            Self::DeadMessageReturned { queue } => details([("queue", queue)]),
            Self::FlagSet { from, to } => details([("from", from), ("to", to)]),
            Self::CertificateRevoked { user } => details([("user_id", user.as_str())]),
            Self::AccountAbsorbed { from } => details([("from", from.as_str())]),
            Self::MergedInto { into } => details([("into", into.as_str())]),
            Self::PersonInvited
            | Self::InvitationWithdrawn
            | Self::ErasureAsked
            | Self::ErasureCalledOff
            | Self::ErasureTakenIn
            | Self::UserErased
            | Self::UserExported => Details::new(),
            Self::ErasureOrdered { at_once } => {
                details([("at_once", if *at_once { "true" } else { "false" })])
            }
            Self::DeadLetterDiscarded | Self::UserSuspended | Self::UserReinstated => details([]),
            Self::RolesGranted { roles } => {
                let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                details([("roles", &roles.join(" "))])
            }
            Self::PlanChanged { plan } => details([("plan", plan.as_str())]),
            Self::CrmSyncSet { enabled } => {
                details([("enabled", if *enabled { "true" } else { "false" })])
            }
            Self::VerificationChanged { verified } => {
                details([("verified", if *verified { "true" } else { "false" })])
            }
            Self::TaskGraded { module, task, score, passed } => {
                let passed = if *passed { "true" } else { "false" };
                let told =
                    [("module", module.as_str()), ("task", task.as_str()), ("passed", passed)];
                let mut told = details(told);
                told.extend(score.map(|score| ("score".to_owned(), score.to_string())));
                told
            }
            Self::BadgeGranted { badge } | Self::BadgeTakenBack { badge } => {
                details([("badge", badge.as_str())])
            }
            Self::CatalogPublished { version } => details([("version", version.as_str())]),
            Self::ProgressImported { import, records } | Self::ImportUndone { import, records } => {
                details([("import", import.as_str()), ("records", &records.to_string())])
            }
        }
    }
}

fn details<const COUNT: usize>(pairs: [(&str, &str); COUNT]) -> Details {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// An entry to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id; ids sort by time.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To whom or what.
    pub subject: Subject,
    /// The request that did it.
    pub trace_id: String,
}

impl Entry {
    /// An entry of `now`.
    pub fn new(
        (actor, action, subject): (Actor, Action, Subject),
        trace_id: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Self {
        let id = AuditId::new(now, random);
        Self { id, at: now, actor, action, subject, trace_id: trace_id.to_owned() }
    }
}

/// An entry as it is read: in words, since a program may read what a later version of it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who: a user's id, or `client:` and a client's.
    pub actor: String,
    /// What, by its stable name.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// More about it.
    pub details: Details,
    /// The request that did it.
    pub trace_id: String,
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        let Entry { id, at, actor, action, subject, trace_id } = entry;
        Self {
            id,
            at,
            actor: actor.to_string(),
            action: action.name().to_owned(),
            subject: subject.to_string(),
            details: action.details(),
            trace_id,
        }
    }
}

/// Which entries are looked for. Each is answered by keys, so pages are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those about one subject.
    Subject(String),
    /// Those of one actor.
    Actor(String),
    /// Those of one day in UTC, `YYYY-MM-DD`.
    Day(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn an_entry_names_people_by_id_and_keeps_the_order_of_time() {
        let random = SeededRandom::new(1);
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let user = UserId::new(at(0), &random);
        let letter = DeadLetterId::new(at(0), &random);
        let entry = |now| {
            let action = Action::DeadLetterReplayed { user: user.clone(), facet: Facet::Identity };
            let subject = Subject::DeadLetter(letter.clone());
            Entry::new((Actor::User(user.clone()), action, subject), "trace", now, &random)
        };
        let (early, late) = (entry(at(1)), entry(at(2)));
        assert!(early.id < late.id);
        let record = Record::from(early);
        assert_eq!(record.actor, user.as_str());
        assert_eq!(record.subject, letter.as_str());
        assert_eq!(record.action, "dead-letter-replayed");
        assert_eq!(record.details["user_id"], user.as_str());
        assert_eq!(record.details["facet"], "identity");
        assert_eq!(Actor::Client("monitor".to_owned()).to_string(), "client:monitor");
    }
}
