//! Every limit that a rule names. Units stand last in the name.

/// Characters of a slug.
pub const SLUG_CHARACTERS_MAX: usize = 80;
/// Characters of a person's given or family name.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Characters of an e-mail address (RFC 5321 §4.5.3.1).
pub const EMAIL_CHARACTERS_MAX: usize = 254;
/// Characters of the source a front end names for an enrolment.
pub const ENROLLMENT_SOURCE_CHARACTERS_MAX: usize = 100;
/// Learning events in one request.
pub const EVENTS_PER_REQUEST_MAX: usize = 50;
/// Bytes of a request body, unless a route says otherwise.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Characters of a URL that a caller hands in.
pub const URL_CHARACTERS_MAX: usize = 2048;

/// A session ends this long after its last use.
pub const SESSION_IDLE_SECONDS: i64 = 24 * 60 * 60;
/// A session ends this long after the sign-in, used or not.
pub const SESSION_ABSOLUTE_SECONDS: i64 = 30 * 24 * 60 * 60;
/// The last use of a session is stored at most this often, to save a write on most requests.
pub const SESSION_TOUCH_SECONDS: i64 = 5 * 60;
/// A sign-in that was begun must come back within this time.
pub const LOGIN_SECONDS: i64 = 10 * 60;

/// Items that one DynamoDB transaction may hold (the service's own limit).
pub const TRANSACTION_ITEMS_MAX: usize = 100;
/// Entries of one kind in the catalogue.
pub const CATALOG_ENTRIES_MAX: usize = 1000;
/// Courses, pathways or modules one user can have records of.
pub const RECORDS_PER_USER_MAX: usize = 5000;
