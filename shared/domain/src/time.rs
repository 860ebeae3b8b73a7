//! Time as a parameter. Everything Rollcall stores or shows is UTC with millisecond precision.

pub use jiff::civil::Date;
pub use jiff::{SignedDuration, Timestamp};

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time, whole milliseconds.
    fn now(&self) -> Timestamp;
}

/// `timestamp` cut to whole milliseconds, the precision that is stored and compared.
pub fn to_milliseconds(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(timestamp.as_millisecond()).unwrap_or(timestamp)
}

/// `timestamp` plus `seconds`; the end of time if that is nearer.
pub fn after_seconds(timestamp: Timestamp, seconds: i64) -> Timestamp {
    after(timestamp, SignedDuration::from_secs(seconds))
}

/// `timestamp` plus `duration`; the end of time if that is nearer.
pub fn after(timestamp: Timestamp, duration: SignedDuration) -> Timestamp {
    timestamp.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The first instant (UTC) of a day that is written `YYYY-MM-DD`.
pub fn start_of_day(text: &str) -> Option<Timestamp> {
    let date = Date::strptime("%Y-%m-%d", text).ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|start| start.timestamp())
}

/// The day of `timestamp` in UTC.
pub fn date(timestamp: Timestamp) -> Date {
    timestamp.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The day of `timestamp` in UTC, `YYYY-MM-DD`.
pub fn day(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%d").to_string()
}

/// Whether `text` is a day as [`day`] writes it.
pub fn is_day(text: &str) -> bool {
    Date::strptime("%Y-%m-%d", text).is_ok_and(|date| date.to_string() == text)
}
