//! Every limit that a rule names. Units stand last in the name.

/// Characters of a slug.
pub const SLUG_CHARACTERS_MAX: usize = 80;
/// Characters of a person's given or family name.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Characters of a username.
pub const USERNAME_CHARACTERS_MIN: usize = 3;
/// Characters of a username.
pub const USERNAME_CHARACTERS_MAX: usize = 30;
/// A user is renamed at most once in this time.
pub const USERNAME_RENAME_SECONDS: i64 = 7 * 24 * 60 * 60;
/// For this long after a renaming nobody else gets the old name.
pub const USERNAME_HELD_SECONDS: i64 = 30 * 24 * 60 * 60;
/// A user who asked to be erased has this long to change their mind.
pub const ERASURE_GRACE_SECONDS: i64 = 7 * 24 * 60 * 60;
/// Between the end of a closed account's sessions and the removal of its data: longer than a request
/// that was admitted before can run.
pub const ERASURE_SETTLE_SECONDS: i64 = 60;
/// By how much the clocks of two instances may differ.
pub const CLOCKS_DIFFER_SECONDS: i64 = 5;
/// Characters of what a user writes about themselves.
pub const ABOUT_CHARACTERS_MAX: usize = 2_000;
/// Characters of a category, a skill or a language in a profile.
pub const TAG_CHARACTERS_MAX: usize = 50;
/// Categories in a profile.
pub const CATEGORIES_MAX: usize = 10;
/// Skills in a profile: so many that a change of all of them fits one transaction with the index.
pub const SKILLS_MAX: usize = 30;
/// Languages in a profile.
pub const LANGUAGES_MAX: usize = 20;
/// The first year in which a user can have been born.
pub const BIRTH_YEAR_MIN: i16 = 1900;
/// Height of a person in centimetres.
pub const HEIGHT_CM_MIN: u16 = 50;
/// Height of a person in centimetres.
pub const HEIGHT_CM_MAX: u16 = 260;
/// Digits of a telephone number.
pub const PHONE_DIGITS_MIN: usize = 7;
/// Digits of a telephone number (ITU-T E.164 §6.2).
pub const PHONE_DIGITS_MAX: usize = 15;
/// Pieces of work on one shelf of a user.
pub const PIECES_MAX: usize = 50;
/// Characters of the title of a piece of work.
pub const PIECE_TITLE_CHARACTERS_MAX: usize = 120;
/// Characters of what is said about a piece of work.
pub const PIECE_DESCRIPTION_CHARACTERS_MAX: usize = 2_000;
/// The first year of a piece of work.
pub const PIECE_YEAR_MIN: i32 = 1_800;
/// The last year of a piece of work.
pub const PIECE_YEAR_MAX: i32 = 2_100;
/// Wrong fields that one answer names.
pub const FIELD_REFUSALS_MAX: usize = 50;
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
/// Sessions that one list holds.
pub const SESSIONS_LISTED_MAX: usize = 100;
/// Whoever refreshes a session at the provider has this long until another may try.
pub const REFRESH_LEASE_SECONDS: i64 = 20;
/// A session that was refreshed this recently is not refreshed again: requests that were sent
/// together arrive apart, and one call to the provider is meant to serve them all.
pub const REFRESH_FRESH_SECONDS: i64 = 30;
/// What the provider said about a user counts for this long; then a session that is used is
/// refreshed. With the time between two stored uses it is less than the hour for which providers
/// issue tokens.
pub const REFRESH_DUE_SECONDS: i64 = 50 * 60;
/// A session whose refresh failed is not tried again for this long.
pub const REFRESH_RETRY_SECONDS: i64 = 5 * 60;
/// A sign-in that was begun must come back within this time.
pub const LOGIN_SECONDS: i64 = 10 * 60;
/// An identity that was proven waits this long for its address's owner to sign in.
pub const LINKING_SECONDS: i64 = 10 * 60;
/// Identities that sign in as one user.
pub const IDENTITIES_PER_USER_MAX: u32 = 10;

/// A mail that could not be sent waits this long after its first failure.
pub const MAIL_RETRY_SECONDS_MIN: i64 = 60;
/// A mail that could not be sent is tried again at least this often.
pub const MAIL_RETRY_SECONDS_MAX: i64 = 60 * 60;
/// Whoever took a mail to send it has this long until another may: longer than an invocation may
/// last, so that nobody sends a mail that somebody is sending.
pub const MAIL_LEASE_SECONDS: i64 = 2 * 60;
/// An invitation can be accepted for this long.
pub const INVITATION_SECONDS: i64 = 7 * 24 * 60 * 60;
/// An invitation is remembered for this long, so that whoever comes too late can be told.
pub const INVITATION_KEPT_SECONDS: i64 = 37 * 24 * 60 * 60;
/// Somebody who asks for an account is answered within this time, or has to ask again.
pub const CLAIM_KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;
/// Between two answers to one address.
pub const CLAIM_INTERVAL_SECONDS: i64 = 10 * 60;
/// Answers to one address within [`CLAIM_ANSWERS_SECONDS`].
pub const CLAIM_ANSWERS_MAX: usize = 5;
/// The time within which answers are counted.
pub const CLAIM_ANSWERS_SECONDS: i64 = 24 * 60 * 60;
/// What is left of a mail that was sent or refused, without its reader and its words, is kept this
/// long.
pub const MAIL_KEPT_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Items that one DynamoDB transaction may hold (the service's own limit).
pub const TRANSACTION_ITEMS_MAX: usize = 100;
/// Entries of one kind in the catalogue.
pub const CATALOG_ENTRIES_MAX: usize = 1000;
/// Items that one version of the catalogue is stored as.
pub const CATALOG_ITEMS_MAX: usize = 20_000;
/// Courses of a pathway, modules of a course.
pub const CHILDREN_MAX: usize = 100;
/// Tasks of a module.
pub const TASKS_MAX: usize = 20;
/// Tags of a module.
pub const TAGS_MAX: usize = 10;
/// How long a module may take, in minutes.
pub const ESTIMATED_MINUTES_MAX: usize = 1_440;
/// Characters of a title in the catalogue.
pub const TITLE_CHARACTERS_MAX: usize = 120;
/// Characters of a summary in the catalogue.
pub const SUMMARY_CHARACTERS_MAX: usize = 400;
/// Characters of what a module says.
pub const MODULE_TEXT_CHARACTERS_MAX: usize = 60_000;
/// Questions of a quiz.
pub const QUESTIONS_MAX: usize = 50;
/// Options of a question.
pub const OPTIONS_MAX: usize = 8;
/// Points of a question.
pub const POINTS_MAX: usize = 100;
/// Attempts that a quiz may allow.
pub const QUIZ_ATTEMPTS_MAX: usize = 100;
/// How long an attempt that was started may be submitted, in seconds.
pub const ATTEMPT_SECONDS_MAX: i64 = 24 * 60 * 60;
/// How long a quiz may make one wait after an attempt that failed, in seconds.
pub const COOL_DOWN_SECONDS_MAX: usize = 30 * 24 * 60 * 60;
/// Characters of what a question asks.
pub const STEM_CHARACTERS_MAX: usize = 1_000;
/// Characters of an option.
pub const OPTION_CHARACTERS_MAX: usize = 300;
/// Characters of an explanation.
pub const EXPLANATION_CHARACTERS_MAX: usize = 1_000;
/// Bytes of all texts of a quiz, so that it fits into one DynamoDB item.
pub const QUIZ_BYTES_MAX: usize = 300_000;
/// Characters of why an instructor graded as they did.
pub const GRADING_REASON_CHARACTERS_MAX: usize = 500;
/// Days in a row that a badge may ask for.
pub const STREAK_DAYS_MAX: u32 = 366;
/// What somebody did before they signed in counts as of this long ago at most.
pub const ANONYMOUS_SECONDS_MAX: i64 = 90 * 24 * 60 * 60;
/// A validator is asked about an attestation for this long: half a day of messages, and what the queue
/// may be late.
pub const REVIEW_SECONDS_MAX: i64 = 13 * 60 * 60;
/// Merges upon merges that lead from an account to its survivor.
pub const MERGE_CHAIN_MAX: u32 = 20;
/// Records that an import writes of one person at once, so that they fit one transaction.
pub const IMPORT_RECORDS_AT_ONCE_MAX: usize = 40;
/// People in one request of an import.
pub const IMPORT_PEOPLE_MAX: usize = 20;
/// Bytes of a property of the CRM in which an earlier system kept its tree.
pub const IMPORT_TREE_BYTES_MAX: usize = 4 * 65_536;
/// Things that the answer to an import lists of one kind for one person; of the others it tells how many.
pub const IMPORT_LISTED_MAX: usize = 100;
/// Characters by which a place of an earlier system's tree is named.
pub const IMPORT_PLACE_CHARACTERS_MAX: usize = 200;
/// Characters of the id that a browser gives an event.
pub const EVENT_ID_CHARACTERS_MAX: usize = 64;
/// A course that is completed within this time of joining it earns a badge of its own.
pub const QUICK_COURSE_SECONDS: i64 = 7 * 24 * 60 * 60;
/// Characters of why a certificate is revoked.
pub const REVOCATION_REASON_CHARACTERS_MAX: usize = 500;
/// Courses, pathways or modules one user can have records of.
pub const RECORDS_PER_USER_MAX: usize = 5000;
