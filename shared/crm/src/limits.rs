//! Every bound of the sync. Units stand last in the name.

/// Inputs in one call; HubSpot's own maximum.
pub const BATCH_INPUTS_MAX: usize = 100;
/// How long one sender owns a user. Longer than a call, so that no two calls about a user overlap.
pub const LEASE_SECONDS: i64 = 20;
/// What must be left of every lease when a call starts: the client gives up after 10 s, and the rest
/// is for the CRM to finish what it had already taken in.
pub const CALL_SECONDS_MAX: i64 = 12;
/// Store calls about different users that run at once.
pub const STORE_CALLS_AT_ONCE: usize = 16;
/// A sender waits this long for its turn at most; then the work becomes pending.
pub const PACER_WAIT_MS_MAX: i64 = 1_000;
/// Times that the budget is read again because somebody else changed it.
pub const BUDGET_TRIES_MAX: u32 = 25;
/// Between two such tries, at most.
pub const BUDGET_RETRY_MS_MAX: i64 = 40;
/// Times that a caller who takes only what is left over waits for a turn.
pub const LEFTOVER_TRIES_MAX: u32 = 10;
/// Tasks of one run: the first call, its bisections, splits, adoptions and schema repair.
pub const RUN_TASKS_MAX: usize = 400;
/// Calls of one removal: to find the contacts, to remove them, to look again, and once with new
/// credentials.
pub const REMOVAL_CALLS_MAX: usize = 10;

/// Removals that run at once, so that one waits for the answers of another only by its turn to call.
pub const REMOVALS_AT_ONCE: usize = 8;

/// Calls per window that every HubSpot tier allows.
pub const LIMIT_CALLS_DEFAULT: u32 = 100;
/// Smallest limit that is believed when a header tells it.
pub const LIMIT_CALLS_MIN: u32 = 10;
/// Largest limit that is believed.
pub const LIMIT_CALLS_MAX: u32 = 1_000;
/// HubSpot's window.
pub const LIMIT_WINDOW_MS_DEFAULT: u32 = 10_000;
/// Shortest window that is believed.
pub const LIMIT_WINDOW_MS_MIN: u32 = 1_000;
/// Longest window that is believed.
pub const LIMIT_WINDOW_MS_MAX: u32 = 60_000;
/// Share of the limit that is used at all, in percent.
pub const LIMIT_SHARE_PERCENT: u32 = 98;
/// Calls that may start together after a quiet time.
pub const BURST_CALLS: u32 = 4;
/// How much later than planned a call may reach the CRM without ever exceeding its limit.
pub const ARRIVAL_SLACK_MS: u32 = 300;
/// Share of the daily limit that is left to people, in percent.
pub const DAILY_RESERVE_PERCENT: u64 = 5;

/// First bound of a pause after a failure that looks like an outage; it doubles with each failure.
pub const OUTAGE_PAUSE_MS_BASE: i64 = 500;
/// Longest pause after an outage: how late a recovery is noticed.
pub const OUTAGE_PAUSE_MS_MAX: i64 = 60_000;
/// Pause after a lock that follows heavy writes (423).
pub const LOCK_PAUSE_MS: i64 = 2_000;
/// Pause after the daily limit; one call then finds out whether the day has changed.
pub const DAILY_PAUSE_MS: i64 = 15 * 60 * 1_000;
/// Pause while the account moves between data centres and nobody says how long (477).
pub const MIGRATION_PAUSE_MS_DEFAULT: i64 = 60_000;
/// Longest pause that `Retry-After` can ask for.
pub const RETRY_AFTER_MS_MAX: i64 = 24 * 60 * 60 * 1_000;
/// First pause after a refusal that needs a person; it doubles with each failure.
pub const UNUSABLE_PAUSE_MS_BASE: i64 = 30_000;
/// Longest such pause.
pub const UNUSABLE_PAUSE_MS_MAX: i64 = 15 * 60 * 1_000;
/// One probe at a time after a pause; a probe that nobody heard of is repeated after this.
pub const PROBE_SECONDS: i64 = 15;

/// Quick tries of one row.
pub const ROW_TRIES_QUICK: u32 = 8;
/// First bound of the delay between quick tries; it doubles with each try.
pub const ROW_DELAY_MS_BASE: i64 = 500;
/// Longest delay between quick tries.
pub const ROW_DELAY_MS_QUICK_MAX: i64 = 60_000;
/// Longest delay of a row that was part of calls that failed as a whole: such a row may only have
/// been unlucky, and must not be late when the CRM is back.
pub const ROW_DELAY_MS_OUTAGE_MAX: i64 = 5 * 60_000;
/// Longest delay of a row.
pub const ROW_DELAY_MS_MAX: i64 = 60 * 60_000;
/// A row whose user is being sent by somebody else looks again after this.
pub const BUSY_RETRY_MS: i64 = 1_000;
/// Age at which a row that never succeeded becomes a dead letter, so that a person looks at it.
pub const ROW_AGE_SECONDS_MAX: i64 = 24 * 60 * 60;

/// Milestones of one user that wait at the desk; the next one that is refused is tried again later.
pub const MILESTONES_REFUSED_MAX: usize = 20;
/// Pages of custom events that are read; a portal has at most 500 of them.
pub const EVENT_PAGES_MAX: usize = 20;
/// A portal that had no custom events is asked again after this.
pub const EVENTS_ASKED_AGAIN_SECONDS: i64 = 24 * 60 * 60;

/// Partitions of the index of due rows.
pub const DUE_SHARDS: u8 = 4;
/// Rows that one round of the drain takes.
pub const DRAIN_ROWS_MAX: usize = 2 * BATCH_INPUTS_MAX;
/// Rounds of one drain; the next nudge continues.
pub const DRAIN_ROUNDS_MAX: usize = 200;
/// No run is begun when less than this remains of an invocation: its leases, the last call within
/// them, its confirmation and a nudge must fit.
pub const INVOCATION_RESERVE_SECONDS: i64 = 24;
/// Shortest delay of a nudge, so that a drain which cannot go on does not spin.
pub const NUDGE_DELAY_SECONDS_MIN: i64 = 1;
/// Longest delay of a nudge (SQS `DelaySeconds`).
pub const NUDGE_DELAY_SECONDS_MAX: i64 = 900;

/// Characters of a list property; HubSpot's limit for texts is 65 536.
pub const TEXT_CHARACTERS_MAX: usize = 60_000;
/// Characters of a CRM's message that are kept.
pub const MESSAGE_CHARACTERS_MAX: usize = 500;
/// Closed dead letters are kept this long.
pub const DEAD_LETTER_KEPT_SECONDS: i64 = 90 * 24 * 60 * 60;
/// Dead letters that one reading of the table looks at.
pub const LETTERS_READ_MAX: usize = 500;
/// Readings for one page of a filtered list; the page may be short, the next one goes on.
pub const LETTER_READINGS_MAX: usize = 8;
/// Dead letters that one page of groups counts.
pub const GROUPED_LETTERS_MAX: usize = 2_000;
/// Dead letters that one request replays.
pub const REPLAYED_LETTERS_MAX: usize = 25;
/// A message whose return nobody heard the end of may be returned again after this.
pub const RETURN_SECONDS: i64 = 60;
/// Characters of an operator's reason for discarding a letter.
pub const REASON_CHARACTERS_MAX: usize = 500;
/// Messages that tell about people are kept this long after they were sent, as letters too. With the
/// two days that DynamoDB may take to remove them it is less than the grace time of an erasure.
pub const PERSONAL_MESSAGE_KEPT_SECONDS: i64 = 4 * 24 * 60 * 60;
/// Rows that the status counts at most.
pub const STATUS_ROWS_MAX: usize = 1_000;

/// Users, or contacts, that one step of a reconciliation compares: what one call of the CRM lists.
pub const RECONCILE_PAGE_MAX: usize = BATCH_INPUTS_MAX;
/// Steps of one invocation; the next one goes on.
pub const RECONCILE_STEPS_MAX: usize = 500;
/// No step is begun when less than this remains of an invocation: waiting for turns, its calls, and
/// what our tables take.
pub const RECONCILE_STEP_SECONDS: i64 = 25;
/// A reconciliation orders no more repairs while so many rows are due: changes that people make must
/// not wait behind it.
pub const RECONCILE_BACKLOG_MAX: usize = 2 * BATCH_INPUTS_MAX;
/// Reconciliations and their findings are kept this long.
pub const RECONCILIATION_KEPT_SECONDS: i64 = 30 * 24 * 60 * 60;
