//! Enrolment in a pathway or a course: the first time wins, and leaving keeps the history.

use std::fmt;
use std::str::FromStr;

use crate::catalog::{Catalog, Terms};
use crate::learning::{Learner, Status};
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
    /// Whether it holds one of a limited number of places. One that began before the number was
    /// limited holds none.
    pub holds_place: bool,
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

/// Why the terms do not admit somebody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsRefusal {
    /// Courses that are required are not complete.
    #[error("these courses must be complete before: {}", .0.iter().map(Slug::as_str).collect::<Vec<_>>().join(", "))]
    Prerequisites(Vec<Slug>),
    /// Too early.
    #[error("enrolment opens at {0}")]
    NotOpen(Timestamp),
    /// Too late.
    #[error("enrolment closed at {0}")]
    Closed(Timestamp),
}

/// Whether the terms admit a learner now. Whether there is a place left is decided where places are
/// counted.
pub fn admit(
    terms: &Terms,
    catalog: &Catalog,
    learner: &Learner,
    now: Timestamp,
) -> Result<(), TermsRefusal> {
    if let Some(opens_at) = terms.opens_at.filter(|opens_at| now < *opens_at) {
        return Err(TermsRefusal::NotOpen(opens_at));
    }
    if let Some(closes_at) = terms.closes_at.filter(|closes_at| now >= *closes_at) {
        return Err(TermsRefusal::Closed(closes_at));
    }
    let is_missing = |slug: &&Slug| {
        let target = Target::course((*slug).clone());
        learner.target_status(catalog, &target).0 != Status::Complete
    };
    let missing: Vec<Slug> = terms.prerequisites.iter().filter(is_missing).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(TermsRefusal::Prerequisites(missing)) }
}

/// The enrolment after enrolling, or `None` when nothing changes: enrolling twice is enrolling once.
pub fn enroll(
    existing: Option<&Enrollment>,
    target: &Target,
    terms: &Terms,
    source: Option<&str>,
    now: Timestamp,
) -> Option<Enrollment> {
    let holds_place = terms.capacity.is_some();
    match existing {
        Some(enrollment) if enrollment.is_active() => None,
        Some(enrollment) => Some(Enrollment {
            withdrawn_at: None,
            holds_place,
            version: enrollment.version + 1,
            updated_at: now,
            ..enrollment.clone()
        }),
        None => Some(Enrollment {
            target: target.clone(),
            source: source.map(ToOwned::to_owned),
            enrolled_at: now,
            withdrawn_at: None,
            holds_place,
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
        holds_place: false,
        version: enrollment.version + 1,
        updated_at: now,
        ..enrollment.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Course, Module, Task};
    use crate::progress::{TaskOutcome, perform};

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn d_04_the_first_enrolment_wins_over_every_repeat() {
        let target = Target::course("streams".parse().unwrap());
        let terms = Terms { capacity: Some(1), ..Terms::default() };
        let first = enroll(None, &target, &terms, Some("catalog"), at(1)).unwrap();
        assert!(first.holds_place);
        assert_eq!(enroll(Some(&first), &target, &terms, Some("other"), at(2)), None);
        let left = withdraw(Some(&first), at(3)).unwrap().unwrap();
        assert!(!left.is_active() && !left.holds_place);
        assert_eq!(withdraw(Some(&left), at(4)), Ok(None));
        let back = enroll(Some(&left), &target, &terms, Some("other"), at(5)).unwrap();
        assert!(back.is_active() && back.holds_place);
        assert_eq!((back.enrolled_at, back.source.as_deref()), (at(1), Some("catalog")));
        assert_eq!(back.version, 3);
        assert_eq!(withdraw(None, at(6)), Err(NotEnrolled));
    }

    #[test]
    fn terms_admit_within_their_window_and_after_their_prerequisites() {
        let course = |name: &str| Course::new(slug(name), name, vec![slug("m")]);
        let module = Module::new(slug("m"), "m", vec![Task::lab(slug("x"))]);
        let courses = vec![course("first"), course("second")];
        let catalog = Catalog::new(Vec::new(), courses, vec![module.clone()]).unwrap();
        let mut learner = Learner::default();
        let window = Terms { opens_at: Some(at(10)), closes_at: Some(at(20)), ..Terms::default() };
        for (now, expected) in [
            (9, Err(TermsRefusal::NotOpen(at(10)))),
            (10, Ok(())),
            (19, Ok(())),
            (20, Err(TermsRefusal::Closed(at(20)))),
        ] {
            assert_eq!(admit(&window, &catalog, &learner, at(now)), expected, "{now}");
        }
        let after = Terms { prerequisites: vec![slug("first")], ..Terms::default() };
        let missing = Err(TermsRefusal::Prerequisites(vec![slug("first")]));
        assert_eq!(admit(&after, &catalog, &learner, at(1)), missing);
        let outcome = TaskOutcome::Attested(None);
        let changes = perform(&learner, &catalog, &module, &module.tasks[0], &outcome, at(1));
        learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
        assert_eq!(admit(&after, &catalog, &learner, at(1)), Ok(()));
    }
}
