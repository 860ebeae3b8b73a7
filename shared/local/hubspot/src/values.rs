//! What HubSpot makes of a property value on its way in: each type has one stored form, and a
//! value that has none is refused.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::properties::{Kind, Property};
use crate::wire::instant;

/// Longest value of a text property, in characters.
const TEXT_CHARACTERS_MAX: usize = 65_536;
const DAY_MS: i64 = 86_400_000;

/// Why a value was refused: HubSpot's code and a text for people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Invalid {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

fn invalid(code: &'static str, message: String) -> Invalid {
    Invalid { code, message }
}

/// The text of a JSON value in a request. Numbers and booleans are taken as their text and null
/// clears, as HubSpot does; lists and objects have no text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The stored form of `raw` for `property`, whose present value is `current`. An empty text stays
/// empty: it clears.
pub(crate) fn stored(property: &Property, raw: &str, current: &str) -> Result<String, Invalid> {
    if raw.is_empty() {
        return Ok(String::new());
    }
    match property.kind {
        Kind::String | Kind::PhoneNumber => text_value(property, raw),
        Kind::Number => number(raw)
            .ok_or_else(|| invalid("INVALID_INTEGER", format!("{raw} was not a valid number."))),
        Kind::Date => {
            date(raw).ok_or_else(|| invalid("INVALID_DATE", format!("{raw} was not a valid date.")))
        }
        Kind::Datetime => moment(raw)
            .map(instant)
            .ok_or_else(|| invalid("INVALID_DATE", format!("{raw} was not a valid datetime."))),
        Kind::Bool => match raw.to_ascii_lowercase().as_str() {
            truth @ ("true" | "false") => Ok(truth.to_owned()),
            _ => Err(no_option(property, raw)),
        },
        Kind::Enumeration => enumeration(property, raw, current),
    }
}

fn text_value(property: &Property, raw: &str) -> Result<String, Invalid> {
    if raw.chars().count() > TEXT_CHARACTERS_MAX {
        return Err(invalid(
            "PROPERTY_VALUE_TOO_LONG",
            format!("{} is longer than {TEXT_CHARACTERS_MAX} characters", property.name),
        ));
    }
    match property.name.as_str() {
        "email" => email(raw),
        "hs_additional_emails" => emails(raw),
        _ => Ok(raw.to_owned()),
    }
}

/// An e-mail address as HubSpot keeps it: lower-cased, without surrounding blanks.
pub(crate) fn email(raw: &str) -> Result<String, Invalid> {
    let address = raw.trim().to_lowercase();
    let valid = address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(|label| !label.is_empty())
            && !address.contains(char::is_whitespace)
    });
    if valid {
        Ok(address)
    } else {
        Err(invalid("INVALID_EMAIL", format!("Email address {raw} is invalid")))
    }
}

fn emails(raw: &str) -> Result<String, Invalid> {
    let addresses: Result<Vec<_>, _> =
        raw.split(';').filter(|a| !a.is_empty()).map(email).collect();
    Ok(addresses?.join(";"))
}

/// A decimal number without needless zeros: `12.50` is `12.5`. Grouping commas are refused.
fn number(raw: &str) -> Option<String> {
    let raw = raw.trim();
    let unsigned = raw.strip_prefix(['-', '+']).unwrap_or(raw);
    let sign = if raw.starts_with('-') { "-" } else { "" };
    let plain = !unsigned.is_empty() && unsigned.chars().all(|c| c.is_ascii_digit() || c == '.');
    if !plain {
        // Exponents are rare enough to go through a float; `NaN` and `inf` are no numbers here.
        let float: f64 = raw.parse().ok()?;
        return float.is_finite().then(|| float.to_string());
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    Some(match (whole, fraction) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    })
}

/// A day as `YYYY-MM-DD`; a moment is accepted only at midnight UTC.
fn date(raw: &str) -> Option<String> {
    if let Ok(day) = Date::from_str(raw)
        && raw.len() == 10
    {
        return Some(day.to_string());
    }
    let moment = moment(raw)?;
    (moment.as_millisecond().rem_euclid(DAY_MS) == 0)
        .then(|| moment.to_zoned(TimeZone::UTC).date().to_string())
}

/// A moment from ISO 8601, milliseconds since the epoch, or a plain day (midnight UTC).
pub(crate) fn moment(raw: &str) -> Option<Timestamp> {
    if let Ok(milliseconds) = raw.parse::<i64>() {
        return Timestamp::from_millisecond(milliseconds).ok();
    }
    if let Ok(moment) = Timestamp::from_str(raw) {
        return Timestamp::from_millisecond(moment.as_millisecond()).ok();
    }
    let day = (raw.len() == 10).then(|| Date::from_str(raw).ok())??;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn no_option(property: &Property, raw: &str) -> Invalid {
    let options: Vec<_> = property.options.iter().map(|o| o.value.as_str()).collect();
    invalid(
        "INVALID_OPTION",
        format!("{raw} was not one of the allowed options: [{}]", options.join(", ")),
    )
}

fn enumeration(property: &Property, raw: &str, current: &str) -> Result<String, Invalid> {
    let known = |value: &str| property.options.iter().any(|option| option.value == value);
    if property.field_type != "checkbox" {
        return if known(raw) { Ok(raw.to_owned()) } else { Err(no_option(property, raw)) };
    }
    // A leading semicolon adds to what is chosen already.
    let mut chosen: Vec<&str> = Vec::new();
    let earlier = if raw.starts_with(';') { current } else { "" };
    for value in earlier.split(';').chain(raw.split(';')).filter(|v| !v.is_empty()) {
        if !known(value) {
            return Err(no_option(property, value));
        }
        if !chosen.contains(&value) {
            chosen.push(value);
        }
    }
    Ok(chosen.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Choice;

    fn check(kind: Kind, field_type: &str, raw: &str, expected: Result<&str, &str>) {
        let mut property = Property::custom("p", kind, field_type, "g");
        property.options = ["a", "b", "c"].map(Choice::plain).to_vec();
        let found = stored(&property, raw, "c");
        let found = found.as_deref().map_err(|invalid| invalid.code);
        assert_eq!(found, expected, "{kind:?} {raw}");
    }

    #[test]
    fn numbers_lose_needless_zeros_and_refuse_commas() {
        for (raw, expected) in [
            ("12.50", Ok("12.5")),
            ("007", Ok("7")),
            ("-0.10", Ok("-0.1")),
            ("-0", Ok("0")),
            (".5", Ok("0.5")),
            ("1e3", Ok("1000")),
            ("900719925474099312345", Ok("900719925474099312345")),
            ("5,333", Err("INVALID_INTEGER")),
            ("1.2.3", Err("INVALID_INTEGER")),
            (".", Err("INVALID_INTEGER")),
            ("NaN", Err("INVALID_INTEGER")),
        ] {
            check(Kind::Number, "number", raw, expected);
        }
    }

    #[test]
    fn days_and_moments_have_one_form() {
        for (kind, raw, expected) in [
            (Kind::Date, "2026-11-21", Ok("2026-11-21")),
            (Kind::Date, "1795219200000", Ok("2026-11-21")),
            (Kind::Date, "2026-11-21T00:00:00Z", Ok("2026-11-21")),
            (Kind::Date, "2026-11-21T01:00:00Z", Err("INVALID_DATE")),
            (Kind::Date, "21.11.2026", Err("INVALID_DATE")),
            (Kind::Datetime, "2026-11-21", Ok("2026-11-21T00:00:00Z")),
            (Kind::Datetime, "1795219200120", Ok("2026-11-21T00:00:00.120Z")),
            (Kind::Datetime, "2026-11-21T02:00:00+02:00", Ok("2026-11-21T00:00:00Z")),
            (Kind::Datetime, "soon", Err("INVALID_DATE")),
        ] {
            check(kind, "date", raw, expected);
        }
    }

    #[test]
    fn choices_must_be_options() {
        for (kind, field, raw, expected) in [
            (Kind::Enumeration, "select", "a", Ok("a")),
            (Kind::Enumeration, "select", "a;b", Err("INVALID_OPTION")),
            (Kind::Enumeration, "checkbox", "a;b;a", Ok("a;b")),
            (Kind::Enumeration, "checkbox", ";a", Ok("c;a")),
            (Kind::Enumeration, "checkbox", "a;x", Err("INVALID_OPTION")),
            (Kind::Bool, "booleancheckbox", "TRUE", Ok("true")),
            (Kind::Bool, "booleancheckbox", "yes", Err("INVALID_OPTION")),
            (Kind::Bool, "booleancheckbox", "", Ok("")),
        ] {
            check(kind, field, raw, expected);
        }
    }

    #[test]
    fn addresses_are_lower_cased_and_must_look_like_one() {
        for (raw, expected) in [
            (" Ann@Example.ORG ", Some("ann@example.org")),
            ("ann", None),
            ("ann@b@example.org", None),
            ("ann@localhost", None),
            ("a nn@example.org", None),
            ("ann@example..org", None),
        ] {
            assert_eq!(email(raw).ok().as_deref(), expected, "{raw}");
        }
    }
}
