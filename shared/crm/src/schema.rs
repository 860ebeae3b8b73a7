//! The contact properties that Rollcall owns, declared beside the projection that fills them.

use rollcall_domain::facet::Facet;

/// How the CRM stores and shows a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyKind {
    /// A line of text.
    Text,
    /// Several lines of text.
    LongText,
    /// A number.
    Number,
    /// A day.
    Date,
    /// An instant.
    DateTime,
}

impl PropertyKind {
    /// How values are stored. Two kinds that are stored alike only look different, and people may
    /// change that.
    pub const fn stored_as(self) -> &'static str {
        match self {
            Self::Text | Self::LongText => "string",
            Self::Number => "number",
            Self::Date => "date",
            Self::DateTime => "datetime",
        }
    }
}

/// Who defines a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The CRM has it from the start.
    Vendor,
    /// We create it in our group.
    Ours,
}

/// A contact property that a facet owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name in the CRM.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// How it is stored.
    pub kind: PropertyKind,
    /// Whether no two contacts may share a value.
    pub unique: bool,
    /// The one facet that writes it.
    pub facet: Facet,
    /// Who defines it.
    pub origin: Origin,
}

/// Everything the CRM must know before the first contact is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Changes whenever something below does; the schema is then declared again.
    pub version: &'static str,
    /// Name of the property group.
    pub group: &'static str,
    /// Its name for people.
    pub group_label: &'static str,
    /// The properties.
    pub properties: &'static [Property],
}

/// The unique property by which a contact is found.
pub const USER_ID: &str = "rollcall_user_id";
/// The e-mail address.
pub const EMAIL: &str = "email";
/// Given name.
pub const FIRST_NAME: &str = "firstname";
/// Family name.
pub const LAST_NAME: &str = "lastname";
/// Where the contact stands in the sales process; only set when we create it.
pub const LIFECYCLE_STAGE: &str = "lifecyclestage";
/// The name by which other members find the user.
pub const USERNAME: &str = "rollcall_username";
/// When the account was made.
pub const JOINED_AT: &str = "rollcall_joined_at";
/// The day of the last sign-in.
pub const LAST_SEEN_ON: &str = "rollcall_last_seen_on";
/// Courses the user is enrolled in.
pub const ENROLLED_COURSES: &str = "rollcall_enrolled_courses";
/// Courses the user completed.
pub const COMPLETED_COURSES: &str = "rollcall_completed_courses";
/// How far the user is, course by course.
pub const PROGRESS_SUMMARY: &str = "rollcall_progress_summary";
/// How many modules the user completed.
pub const MODULES_COMPLETED: &str = "rollcall_modules_completed";
/// When the user last learned something.
pub const LAST_LEARNING_AT: &str = "rollcall_last_learning_at";
/// Badges the user has.
pub const BADGES: &str = "rollcall_badges";
/// Certificates the user has, but those that were revoked.
pub const CERTIFICATES: &str = "rollcall_certificates";

/// The schema.
pub const SCHEMA: Schema = Schema {
    version: "5",
    group: "rollcall",
    group_label: "Rollcall",
    properties: &[
        Property {
            unique: true,
            ..ours(USER_ID, "Rollcall user id", PropertyKind::Text, Facet::Identity)
        },
        vendor(EMAIL, "Email"),
        vendor(FIRST_NAME, "First name"),
        vendor(LAST_NAME, "Last name"),
        vendor(LIFECYCLE_STAGE, "Lifecycle stage"),
        ours(USERNAME, "Username", PropertyKind::Text, Facet::Identity),
        ours(JOINED_AT, "Joined", PropertyKind::DateTime, Facet::Identity),
        ours(LAST_SEEN_ON, "Last seen", PropertyKind::Date, Facet::Identity),
        ours(ENROLLED_COURSES, "Enrolled courses", PropertyKind::LongText, Facet::Learning),
        ours(COMPLETED_COURSES, "Completed courses", PropertyKind::LongText, Facet::Learning),
        ours(PROGRESS_SUMMARY, "Progress", PropertyKind::LongText, Facet::Learning),
        ours(MODULES_COMPLETED, "Modules completed", PropertyKind::Number, Facet::Learning),
        ours(LAST_LEARNING_AT, "Last learning", PropertyKind::DateTime, Facet::Learning),
        ours(BADGES, "Badges", PropertyKind::LongText, Facet::Learning),
        ours(CERTIFICATES, "Certificates", PropertyKind::LongText, Facet::Learning),
    ],
};

/// An event that milestones are told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDefinition {
    /// Its name in the CRM, without what the portal puts before it.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What it means.
    pub description: &'static str,
    /// What it is about, for people, if its milestones name something: the label of [`EVENT_SUBJECT`].
    pub subject: Option<&'static str>,
}

/// The property of an event that says what it is about.
pub const EVENT_SUBJECT: &str = "rollcall_subject";

/// The events, one for each kind of milestone.
pub const EVENTS: &[EventDefinition] = &[
    event("rollcall_joined", "Joined Rollcall", "The account was made."),
    event("rollcall_signed_in", "Signed in to Rollcall", "The first sign-in of a day (UTC)."),
    event("rollcall_deletion_asked", "Asked for deletion", "The user asked to be erased."),
    about("rollcall_course_enrolled", "Enrolled in a course", "Course"),
    about("rollcall_pathway_enrolled", "Enrolled in a pathway", "Pathway"),
    about("rollcall_module_started", "Started a module", "Module"),
    about("rollcall_module_completed", "Completed a module", "Module"),
    about("rollcall_quiz_passed", "Passed a quiz", "Module and quiz"),
    about("rollcall_course_completed", "Completed a course", "Course"),
    about("rollcall_pathway_completed", "Completed a pathway", "Pathway"),
    about("rollcall_badge_awarded", "Got a badge", "Badge"),
    about("rollcall_certificate_awarded", "Got a certificate", "Certificate"),
];

/// Changes whenever [`EVENTS`] does; they are then declared again.
pub const EVENTS_VERSION: &str = "3";

const fn event(
    name: &'static str,
    label: &'static str,
    description: &'static str,
) -> EventDefinition {
    EventDefinition { name, label, description, subject: None }
}

const fn about(name: &'static str, label: &'static str, subject: &'static str) -> EventDefinition {
    EventDefinition { name, label, description: label, subject: Some(subject) }
}

const fn ours(
    name: &'static str,
    label: &'static str,
    kind: PropertyKind,
    facet: Facet,
) -> Property {
    Property { name, label, kind, unique: false, facet, origin: Origin::Ours }
}

const fn vendor(name: &'static str, label: &'static str) -> Property {
    Property {
        name,
        label,
        kind: PropertyKind::Text,
        unique: false,
        facet: Facet::Identity,
        origin: Origin::Vendor,
    }
}
