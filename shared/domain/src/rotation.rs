//! Keys of our own that are replaced without anybody noticing: what was signed under the key before
//! is still good for a while, and nothing is signed under a new key until everybody knows it.

use crate::secret::Secret;
use crate::time::{SignedDuration, Timestamp};

/// For this long after a rotation the key before still signs. Instances learn of a rotation within
/// half this time, so whoever checks knows the new key before anybody signs with it.
pub const OVERLAP_SECONDS: i64 = 10 * 60;
/// For this long after a rotation what the key before has signed is good: as long as a session may
/// lie idle. Rotating twice ends it at once.
pub const GRACE_SECONDS: i64 = 24 * 60 * 60;

/// A key and, for a while, the one before.
#[derive(Clone, Debug)]
pub struct Keys {
    current: Secret,
    previous: Option<Secret>,
    rotated_at: Timestamp,
}

impl Keys {
    /// The keys since `rotated_at`, when `current` was made; without `previous` it is the first.
    pub fn new(current: Secret, previous: Option<Secret>, rotated_at: Timestamp) -> Self {
        Self { current, previous, rotated_at }
    }

    /// The key to sign with.
    pub fn signing(&self, now: Timestamp) -> &Secret {
        let previous = self.previous.as_ref().filter(|_| self.is_within(OVERLAP_SECONDS, now));
        previous.unwrap_or(&self.current)
    }

    /// The keys under which a signature is good, the likelier first.
    pub fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let previous = self.previous.as_ref().filter(|_| self.is_within(GRACE_SECONDS, now));
        std::iter::once(&self.current).chain(previous)
    }

    /// Whether the key before still matters, for somebody who has only read when the current one
    /// was made.
    pub fn needs_previous(rotated_at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(rotated_at) < SignedDuration::from_secs(GRACE_SECONDS)
    }

    fn is_within(&self, seconds: i64, now: Timestamp) -> bool {
        now.duration_since(self.rotated_at) < SignedDuration::from_secs(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How long an instance may go on with what it read.
    const STALE_SECONDS: i64 = OVERLAP_SECONDS / 2;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_251_600 + second).unwrap()
    }

    fn key(number: i64) -> Secret {
        Secret::new(format!("key {number}"))
    }

    /// What an instance reads at `second` when the key is rotated at each of `rotations`.
    fn read(rotations: &[i64], second: i64) -> Keys {
        let done = rotations.iter().filter(|rotation| **rotation <= second).count();
        let number = i64::try_from(done).unwrap();
        match done.checked_sub(1) {
            None => Keys::new(key(0), None, at(-GRACE_SECONDS)),
            Some(last) => Keys::new(key(number), Some(key(number - 1)), at(rotations[last])),
        }
    }

    fn check(age_seconds: i64, signing: i64, accepted: &[i64]) {
        let keys = Keys::new(key(2), Some(key(1)), at(0));
        let now = at(age_seconds);
        assert_eq!(keys.signing(now).expose(), key(signing).expose(), "at {age_seconds}");
        let actual: Vec<&str> = keys.accepted(now).map(Secret::expose).collect();
        let expected: Vec<Secret> = accepted.iter().map(|number| key(*number)).collect();
        assert_eq!(
            actual,
            expected.iter().map(Secret::expose).collect::<Vec<_>>(),
            "at {age_seconds}"
        );
    }

    #[test]
    fn a_new_key_is_known_before_it_signs_and_the_old_one_goes_when_its_grace_ends() {
        check(0, 1, &[2, 1]);
        check(OVERLAP_SECONDS - 1, 1, &[2, 1]);
        check(OVERLAP_SECONDS, 2, &[2, 1]);
        check(GRACE_SECONDS - 1, 2, &[2, 1]);
        check(GRACE_SECONDS, 2, &[2]);
        // The clock of Secrets Manager may be ahead of ours.
        check(-1, 1, &[2, 1]);
    }

    #[test]
    fn a_first_key_signs_at_once() {
        let keys = Keys::new(key(1), None, at(0));
        assert_eq!(keys.signing(at(0)).expose(), "key 1");
        assert_eq!(keys.accepted(at(0)).count(), 1);
        assert!(Keys::needs_previous(at(0), at(GRACE_SECONDS - 1)));
        assert!(!Keys::needs_previous(at(0), at(GRACE_SECONDS)));
    }

    proptest! {
        /// Instances read at moments of their own and go on with that for a while; the key is
        /// rotated again and again, with room for the overlap. What one signs, any other takes.
        #[test]
        fn no_rotation_refuses_what_another_instance_has_just_signed(
            gaps in prop::collection::vec(2 * OVERLAP_SECONDS..4 * OVERLAP_SECONDS, 1..6),
            signed_at in 0..10_000_i64,
            signer_stale in 0..STALE_SECONDS,
            checked_after in 0..STALE_SECONDS,
            checker_stale in 0..STALE_SECONDS,
        ) {
            let rotations: Vec<i64> = gaps
                .iter()
                .scan(0, |at, gap| { *at += gap; Some(*at) })
                .collect();
            let signer = read(&rotations, signed_at - signer_stale);
            let key = signer.signing(at(signed_at)).expose().to_owned();
            let checked_at = signed_at + checked_after;
            let checker = read(&rotations, checked_at - checker_stale);
            let accepted = checker.accepted(at(checked_at)).any(|good| good.expose() == key);
            prop_assert!(accepted);
        }
    }
}
