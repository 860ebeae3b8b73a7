//! The DynamoDB tables. Every table has the keys `pk` and `sk`, both texts.

/// Name of every table's partition key.
pub const PARTITION_KEY: &str = "pk";
/// Name of every table's sort key.
pub const SORT_KEY: &str = "sk";
/// Name of the attribute by which DynamoDB removes what has expired, in seconds since the epoch.
/// Housekeeping only: code checks expiry by itself.
pub const EXPIRES_AT: &str = "expires_at";

/// A table, named `rollcall-{stage}-{name}` in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Users and the identities that name them.
    Users,
    /// Enrolments.
    Enrollments,
    /// Progress in modules, completions.
    Progress,
    /// Attempts at quizzes.
    Attempts,
    /// The published catalogue.
    Catalog,
    /// CRM ledger, pending rows, budget and dead letters.
    Crm,
    /// Sessions and sign-ins in flight.
    Edge,
    /// Who did what; only ever added to.
    Audit,
    /// Mails that wait to be sent.
    Mail,
    /// Where members find each other.
    Directory,
    /// What users show of their work.
    Portfolio,
    /// Badges, each written once.
    Badges,
    /// Certificates, and which places of the status lists are taken and revoked.
    Certificates,
}

/// A global secondary index; it carries whole items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The index's name.
    pub name: &'static str,
    /// Its partition key, a text.
    pub partition_key: &'static str,
    /// Its sort key, a text.
    pub sort_key: &'static str,
}

/// Pending rows by the time they are due.
pub const CRM_DUE: Index = Index { name: "due", partition_key: "due_shard", sort_key: "due_at" };
/// Dead letters of one status, by the time they were last refused.
pub const CRM_LETTERS: Index =
    Index { name: "letters", partition_key: "letter_status", sort_key: "letter_at" };
/// Users by the CRM's id of their contact, now and before merges.
pub const CRM_CONTACT: Index =
    Index { name: "contact", partition_key: "contact_id", sort_key: PARTITION_KEY };
/// Users by the time they joined, which their ids sort by.
///
/// All writes of users pass through it, so its partitions are sixteenths by the last digit of the id,
/// which is random: neither the newest users nor those of one month share a partition.
pub const USERS_JOINED: Index =
    Index { name: "joined", partition_key: "joined_shard", sort_key: "user_id" };
/// Partitions of [`USERS_JOINED`]: one for each hexadecimal digit.
pub const USERS_JOINED_SHARDS: u8 = 16;
/// Audit entries of one actor, by time.
pub const AUDIT_ACTOR: Index =
    Index { name: "actor", partition_key: "actor", sort_key: "entry_id" };
/// Audit entries of one day, by time.
pub const AUDIT_DAY: Index = Index { name: "day", partition_key: "day", sort_key: "entry_id" };
/// Mails that wait, by the time they are due.
pub const MAIL_DUE: Index = Index { name: "due", partition_key: "due_shard", sort_key: "due_at" };
/// Accounts that are to be erased, by when.
pub const USER_ERASURES: Index =
    Index { name: "erasures", partition_key: "erase_shard", sort_key: "erase_at" };
/// Sessions that are in use and whose user the provider is to be asked about, by since when.
pub const SESSION_REFRESHES: Index =
    Index { name: "refreshes", partition_key: "refresh_shard", sort_key: "refresh_at" };
/// Certificates by their id, which is all that whoever verifies one knows.
pub const CERTIFICATES_ID: Index =
    Index { name: "certificate", partition_key: "certificate_id", sort_key: PARTITION_KEY };

impl Table {
    /// Every table.
    pub const ALL: [Self; 13] = [
        Self::Users,
        Self::Enrollments,
        Self::Progress,
        Self::Attempts,
        Self::Catalog,
        Self::Crm,
        Self::Edge,
        Self::Audit,
        Self::Mail,
        Self::Directory,
        Self::Portfolio,
        Self::Badges,
        Self::Certificates,
    ];

    /// The name without prefix and stage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Enrollments => "enrollments",
            Self::Progress => "progress",
            Self::Attempts => "attempts",
            Self::Catalog => "catalog",
            Self::Crm => "crm",
            Self::Edge => "edge",
            Self::Audit => "audit",
            Self::Mail => "mail",
            Self::Directory => "directory",
            Self::Portfolio => "portfolio",
            Self::Badges => "badges",
            Self::Certificates => "certificates",
        }
    }

    /// The name in AWS.
    pub fn full_name(self, stage: &str) -> String {
        format!("rollcall-{stage}-{}", self.name())
    }

    /// Whether the table has a stream of new and old images.
    pub const fn has_stream(self) -> bool {
        match self {
            Self::Users
            | Self::Enrollments
            | Self::Progress
            | Self::Mail
            | Self::Badges
            | Self::Certificates => true,
            Self::Attempts
            | Self::Catalog
            | Self::Crm
            | Self::Edge
            | Self::Audit
            | Self::Directory
            | Self::Portfolio => false,
        }
    }

    /// Whether items carry [`EXPIRES_AT`].
    pub const fn expires(self) -> bool {
        matches!(self, Self::Crm | Self::Edge | Self::Mail)
    }

    /// Whether the table keeps something of users, each user's in a partition of their own,
    /// `user#{id}`.
    pub const fn holds_users(self) -> bool {
        match self {
            Self::Users
            | Self::Enrollments
            | Self::Progress
            | Self::Attempts
            | Self::Crm
            | Self::Edge
            | Self::Portfolio
            | Self::Badges
            | Self::Certificates => true,
            // The audit log names people by their ids alone; a mail loses its reader when it is sent.
            // The index of members repeats what profiles say, and goes with them.
            Self::Catalog | Self::Audit | Self::Mail | Self::Directory => false,
        }
    }

    /// The table's indexes.
    pub const fn indexes(self) -> &'static [Index] {
        match self {
            Self::Crm => &[CRM_CONTACT, CRM_DUE, CRM_LETTERS],
            Self::Audit => &[AUDIT_ACTOR, AUDIT_DAY],
            Self::Mail => &[MAIL_DUE],
            Self::Users => &[USER_ERASURES, USERS_JOINED],
            Self::Edge => &[SESSION_REFRESHES],
            Self::Certificates => &[CERTIFICATES_ID],
            Self::Enrollments
            | Self::Progress
            | Self::Attempts
            | Self::Catalog
            | Self::Directory
            | Self::Portfolio
            | Self::Badges => &[],
        }
    }
}
