//! What a mapping reads from stream records.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

/// The sequence number of a stream record.
pub(super) fn sequence(record: &Value) -> &str {
    record.pointer("/dynamodb/SequenceNumber").and_then(Value::as_str).unwrap_or_default()
}

/// When a change was made, in milliseconds since the Unix epoch. Records carry seconds.
pub(super) fn created_ms(record: &Value) -> Option<i64> {
    let seconds = record.pointer("/dynamodb/ApproximateCreationDateTime")?.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast from float saturates, and dates are far from the limits"
    )]
    Some((seconds * 1000.0) as i64)
}

/// Sequence numbers are decimal numbers of up to 40 digits.
pub(super) fn compare_sequences(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Which of `lanes` lanes a record belongs to, by the whole key of its item. The same in every run.
pub(super) fn lane(record: &Value, lanes: usize) -> usize {
    let keys: BTreeMap<&String, &Value> =
        record.pointer("/dynamodb/Keys").and_then(Value::as_object).into_iter().flatten().collect();
    let text = serde_json::to_string(&keys).unwrap_or_default();
    // FNV-1a, 64 bits.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let lanes = u64::try_from(lanes).unwrap_or(u64::MAX);
    usize::try_from(hash.checked_rem(lanes).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_numbers() {
        for (one, other, expected) in [
            ("9", "10", Ordering::Less),
            ("0010", "10", Ordering::Equal),
            ("300000000000000499660", "300000000000000499659", Ordering::Greater),
        ] {
            assert_eq!(compare_sequences(one, other), expected, "{one} {other}");
        }
    }
}
