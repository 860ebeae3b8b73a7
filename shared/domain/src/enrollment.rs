//! Enrolment in a pathway or a course: the first time wins, and leaving keeps the history.

use std::fmt;
use std::str::FromStr;

use crate::slug::Slug;
use crate::time::Timestamp;

/// What one can enrol in and complete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Pathway or course.
    pub kind: TargetKind,
    /// Which one.
    pub slug: Slug,
}

/// The kinds of thing one can enrol in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// A series of courses.
    Pathway,
    /// A series of modules.
    Course,
}

/// A text that names no kind of target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be pathway or course")]
pub struct UnknownTargetKind;

impl TargetKind {
    /// The name in URLs, keys and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pathway => "pathway",
            Self::Course => "course",
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for TargetKind {
    type Err = UnknownTargetKind;

    fn from_str(text: &str) -> Result<Self, UnknownTargetKind> {
        match text {
            "pathway" => Ok(Self::Pathway),
            "course" => Ok(Self::Course),
            _ => Err(UnknownTargetKind),
        }
    }
}

impl Target {
    /// A course.
    pub fn course(slug: Slug) -> Self {
        Self { kind: TargetKind::Course, slug }
    }

    /// A pathway.
    pub fn pathway(slug: Slug) -> Self {
        Self { kind: TargetKind::Pathway, slug }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.slug)
    }
}

/// One user's enrolment in one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// What the user enrolled in.
    pub target: Target,
    /// Where the enrolment came from, as first told.
    pub source: Option<String>,
    /// When the user first enrolled. Never changes (fault D4: repeats overwrote it).
    pub enrolled_at: Timestamp,
    /// When the user left, if they did and did not come back.
    pub withdrawn_at: Option<Timestamp>,
    /// Counts the writes; 1 for a new enrolment.
    pub version: u64,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// Leaving what one never joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enrolled")]
pub struct NotEnrolled;

impl Enrollment {
    /// Whether the user is enrolled now.
    pub fn is_active(&self) -> bool {
        self.withdrawn_at.is_none()
    }
}

/// The enrolment after enrolling, or `None` when nothing changes: enrolling twice is enrolling once.
pub fn enroll(
    existing: Option<&Enrollment>,
    target: &Target,
    source: Option<&str>,
    now: Timestamp,
) -> Option<Enrollment> {
    match existing {
        Some(enrollment) if enrollment.is_active() => None,
        Some(enrollment) => Some(Enrollment {
            withdrawn_at: None,
            version: enrollment.version + 1,
            updated_at: now,
            ..enrollment.clone()
        }),
        None => Some(Enrollment {
            target: target.clone(),
            source: source.map(ToOwned::to_owned),
            enrolled_at: now,
            withdrawn_at: None,
            version: 1,
            updated_at: now,
        }),
    }
}

/// The enrolment after leaving, or `None` when the user had left already.
pub fn withdraw(
    existing: Option<&Enrollment>,
    now: Timestamp,
) -> Result<Option<Enrollment>, NotEnrolled> {
    let enrollment = existing.ok_or(NotEnrolled)?;
    if !enrollment.is_active() {
        return Ok(None);
    }
    Ok(Some(Enrollment {
        withdrawn_at: Some(now),
        version: enrollment.version + 1,
        updated_at: now,
        ..enrollment.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn d_04_the_first_enrolment_wins_over_every_repeat() {
        let target = Target::course("streams".parse().unwrap());
        let first = enroll(None, &target, Some("catalog"), at(1)).unwrap();
        assert_eq!(enroll(Some(&first), &target, Some("other"), at(2)), None);
        let left = withdraw(Some(&first), at(3)).unwrap().unwrap();
        assert!(!left.is_active());
        assert_eq!(withdraw(Some(&left), at(4)), Ok(None));
        let back = enroll(Some(&left), &target, Some("other"), at(5)).unwrap();
        assert!(back.is_active());
        assert_eq!((back.enrolled_at, back.source.as_deref()), (at(1), Some("catalog")));
        assert_eq!(back.version, 3);
        assert_eq!(withdraw(None, at(6)), Err(NotEnrolled));
    }
}
