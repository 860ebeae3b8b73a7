//! Facts about a person: when they were born, what they look like, how to reach them.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::limits::{
    BIRTH_YEAR_MIN, HEIGHT_CM_MAX, HEIGHT_CM_MIN, PHONE_DIGITS_MAX, PHONE_DIGITS_MIN,
};
use crate::profile::patch::ProfileError;

/// The codes of countries in use (ISO 3166-1 alpha-2), in order.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ \
    BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM \
    DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS \
    GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ \
    MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM \
    PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI \
    VN VU WF WS YE YT ZA ZM ZW";

/// What somebody looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Physical {
    /// Height in centimetres.
    pub height_cm: Option<u16>,
    /// Colour of the hair, in the user's words.
    pub hair_colour: Option<String>,
    /// Colour of the eyes, in the user's words.
    pub eye_colour: Option<String>,
}

/// How to reach somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contacts {
    /// Telephone number (ITU-T E.164): a plus and up to 15 digits.
    pub phone: Option<String>,
    /// A page of the user's elsewhere, by https.
    pub website: Option<String>,
    /// Where the user lives or works.
    pub city: Option<String>,
    /// The country (ISO 3166-1 alpha-2).
    pub country: Option<String>,
}

/// The age in full years on the day `today`. Whoever was born on a 29th of February is a year older
/// on the 1st of March of years without one.
pub fn age(birth_date: Date, today: Date) -> u16 {
    let had_birthday = (today.month(), today.day()) >= (birth_date.month(), birth_date.day());
    let years = today.year() - birth_date.year() - i16::from(!had_birthday);
    u16::try_from(years).unwrap_or(0)
}

/// A day on which somebody who lives on `today` may have been born, `YYYY-MM-DD`.
pub(super) fn birth_date(text: &str, today: Date) -> Result<Date, ProfileError> {
    // The parser takes other spellings of days, and times, as well.
    let text = text.trim();
    let is_day = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = text.parse::<Date>().ok().filter(|_| is_day).ok_or(ProfileError::Date)?;
    if date.year() < BIRTH_YEAR_MIN || date > today { Err(ProfileError::Date) } else { Ok(date) }
}

/// A height that people have.
pub(super) fn height_cm(height: u16) -> Result<u16, ProfileError> {
    if (HEIGHT_CM_MIN..=HEIGHT_CM_MAX).contains(&height) {
        Ok(height)
    } else {
        Err(ProfileError::Height)
    }
}

/// A telephone number in the one spelling that is the same all over the world (ITU-T E.164).
pub(super) fn phone(text: &str) -> Result<String, ProfileError> {
    let text = text.trim();
    let digits = text.strip_prefix('+').ok_or(ProfileError::Phone)?;
    let fits = (PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&digits.len());
    let allowed = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if fits && allowed { Ok(text.to_owned()) } else { Err(ProfileError::Phone) }
}

/// The code of a country, in upper case.
pub(super) fn country(text: &str) -> Result<String, ProfileError> {
    let code = text.trim().to_ascii_uppercase();
    let known = COUNTRIES.split(' ').any(|known| known == code);
    if known { Ok(code) } else { Err(ProfileError::Country) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn somebody_is_a_year_older_on_their_birthday_and_not_before() {
        for (born, today, years) in [
            ("2000-06-15", "2026-06-14", 25),
            ("2000-06-15", "2026-06-15", 26),
            ("2000-06-15", "2026-12-31", 26),
            ("2000-06-15", "2027-01-01", 26),
            ("2004-02-29", "2025-02-28", 20),
            ("2004-02-29", "2025-03-01", 21),
            ("2004-02-29", "2028-02-28", 23),
            ("2004-02-29", "2028-02-29", 24),
            ("2026-01-01", "2026-01-01", 0),
            // A clock that goes wrong makes nobody younger than nothing.
            ("2026-01-02", "2026-01-01", 0),
        ] {
            assert_eq!(age(date(born), date(today)), years, "{born} {today}");
        }
    }

    #[test]
    fn facts_have_one_spelling_and_bounds() {
        let today = date("2026-11-21");
        for (text, born) in [
            ("2000-02-29", true),
            (" 1900-01-01 ", true),
            ("2026-11-21", true),
            ("2026-11-22", false),
            ("1899-12-31", false),
            ("2001-02-29", false),
            ("20000229", false),
            ("2000-2-29", false),
            ("2000-02-29T00:00:00", false),
            ("+002000-02", false),
            ("-000001-01", false),
            ("29.02.2000", false),
            ("", false),
        ] {
            assert_eq!(birth_date(text, today).is_ok(), born, "{text}");
        }
        for (height, fits) in [(49, false), (50, true), (187, true), (260, true), (261, false)] {
            assert_eq!(height_cm(height).is_ok(), fits, "{height}");
        }
        for (text, fits) in [
            ("+49301234567", true),
            (" +1234567 ", true),
            ("+123456789012345", true),
            ("+1234567890123456", false),
            ("+123456", false),
            ("+0301234567", false),
            ("0301234567", false),
            ("+49 30 1234567", false),
            ("+49-30-1234567", false),
            ("++49301234567", false),
            ("+49301234567;ext=1", false),
            ("+\u{0661}234567", false),
            ("tel:+49301234567", false),
            ("", false),
        ] {
            assert_eq!(phone(text).is_ok(), fits, "{text}");
        }
        for (text, code) in [
            ("DE", Some("DE")),
            (" in ", Some("IN")),
            ("gB", Some("GB")),
            ("UK", None),
            ("EU", None),
            ("XX", None),
            ("D", None),
            ("DEU", None),
            ("AD AE", None),
            ("", None),
        ] {
            assert_eq!(country(text).ok().as_deref(), code, "{text}");
        }
        assert_eq!(COUNTRIES.split(' ').count(), 249);
    }

    proptest! {
        #[test]
        fn nobody_gets_younger(born in 0_i32..45_000, days in 0_i32..45_000, later in 0_i32..800) {
            let day = |days: i32| date("1900-01-01").checked_add(jiff::Span::new().days(days)).unwrap();
            let (birth, first) = (day(born), day(born + days));
            let second = day(born + days + later);
            let (before, after) = (age(birth, first), age(birth, second));
            prop_assert!(before <= after && after - before <= 3);
            prop_assert!(i32::from(before) * 365 <= days && days < (i32::from(before) + 1) * 366);
        }
    }
}
