//! Milestones: what happened once, and is told to the CRM as an event.
//!
//! They come from the images of an item before and after a write, and from nothing else: the same two
//! images always give the same milestones with the same ids, so a record that comes twice, late or
//! out of order adds nothing, and the CRM rejects what it was told before.

use std::collections::BTreeMap;

use rollcall_domain::badge::BadgeName;
use rollcall_domain::certificate::CertificateName;
use rollcall_domain::enrollment::{Target, TargetKind};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::{Timestamp, day};
use sha2::{Digest, Sha256};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MilestoneKind {
    /// The account was made.
    Joined,
    /// The user signed in, for the first time on a day (UTC).
    SignedIn,
    /// The user asked for the deletion of the account.
    DeletionAsked,
    /// The user joined a course, for the first time.
    CourseEnrolled,
    /// The user joined a pathway, for the first time.
    PathwayEnrolled,
    /// The user began a module.
    ModuleStarted,
    /// The user completed a module.
    ModuleCompleted,
    /// The user passed a quiz, for the first time.
    QuizPassed,
    /// The user completed a course.
    CourseCompleted,
    /// The user completed a pathway.
    PathwayCompleted,
    /// The user got a badge.
    BadgeAwarded,
    /// The user got a certificate.
    CertificateAwarded,
}

impl MilestoneKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Joined,
        Self::SignedIn,
        Self::DeletionAsked,
        Self::CourseEnrolled,
        Self::PathwayEnrolled,
        Self::ModuleStarted,
        Self::ModuleCompleted,
        Self::QuizPassed,
        Self::CourseCompleted,
        Self::PathwayCompleted,
        Self::BadgeAwarded,
        Self::CertificateAwarded,
    ];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::SignedIn => "signed_in",
            Self::DeletionAsked => "deletion_asked",
            Self::CourseEnrolled => "course_enrolled",
            Self::PathwayEnrolled => "pathway_enrolled",
            Self::ModuleStarted => "module_started",
            Self::ModuleCompleted => "module_completed",
            Self::QuizPassed => "quiz_passed",
            Self::CourseCompleted => "course_completed",
            Self::PathwayCompleted => "pathway_completed",
            Self::BadgeAwarded => "badge_awarded",
            Self::CertificateAwarded => "certificate_awarded",
        }
    }

    /// The facet that it belongs to.
    pub fn facet(self) -> Facet {
        match self {
            Self::Joined | Self::SignedIn | Self::DeletionAsked => Facet::Identity,
            Self::CourseEnrolled
            | Self::PathwayEnrolled
            | Self::ModuleStarted
            | Self::ModuleCompleted
            | Self::QuizPassed
            | Self::CourseCompleted
            | Self::PathwayCompleted
            | Self::BadgeAwarded
            | Self::CertificateAwarded => Facet::Learning,
        }
    }

    /// Name of its event in [`crate::schema::EVENTS`].
    pub fn event(self) -> &'static str {
        match self {
            Self::Joined => "rollcall_joined",
            Self::SignedIn => "rollcall_signed_in",
            Self::DeletionAsked => "rollcall_deletion_asked",
            Self::CourseEnrolled => "rollcall_course_enrolled",
            Self::PathwayEnrolled => "rollcall_pathway_enrolled",
            Self::ModuleStarted => "rollcall_module_started",
            Self::ModuleCompleted => "rollcall_module_completed",
            Self::QuizPassed => "rollcall_quiz_passed",
            Self::CourseCompleted => "rollcall_course_completed",
            Self::PathwayCompleted => "rollcall_pathway_completed",
            Self::BadgeAwarded => "rollcall_badge_awarded",
            Self::CertificateAwarded => "rollcall_certificate_awarded",
        }
    }
}

/// Something that happened once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milestone {
    /// Names it for ever: a UUID (version 8, RFC 9562 §5.8) from user, kind and occasion.
    pub id: String,
    /// To whom it happened.
    pub user: UserId,
    /// What.
    pub kind: MilestoneKind,
    /// When.
    pub at: Timestamp,
    /// What it is about, such as a course's slug; empty where there is nothing to name.
    pub subject: String,
}

impl Milestone {
    /// A milestone. `occasion` tells it from others of the same kind and user; empty when there can be
    /// only one.
    pub fn new(user: &UserId, kind: MilestoneKind, occasion: &str, at: Timestamp) -> Self {
        let (id, user) = (id(user, kind, occasion), user.clone());
        Self { id, user, kind, at, subject: String::new() }
    }

    /// A milestone that happens once for each `subject`.
    pub fn about(user: &UserId, kind: MilestoneKind, subject: &str, at: Timestamp) -> Self {
        Self { subject: subject.to_owned(), ..Self::new(user, kind, subject, at) }
    }
}

fn id(user: &UserId, kind: MilestoneKind, occasion: &str) -> String {
    let name = format!("{user}/{}/{occasion}", kind.as_str());
    let mut bytes = [0_u8; 16];
    for (byte, digest) in bytes.iter_mut().zip(Sha256::digest(name)) {
        *byte = digest;
    }
    let bits = u128::from_be_bytes(bytes);
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| hex.get(from..to).unwrap_or_default()).join("-")
}

/// What milestones need to know of a user's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountImage {
    /// When the account was made.
    pub joined_at: Timestamp,
    /// When the user last signed in.
    pub last_seen_at: Timestamp,
    /// When the account is to be erased, if its user asked for that.
    pub erase_at: Option<Timestamp>,
    /// When the item was written.
    pub updated_at: Timestamp,
}

/// The milestones of a write of a user's item. Without an image after it, the item was removed: who
/// is gone reaches nothing any more.
pub fn of_account(
    user: &UserId,
    before: Option<&AccountImage>,
    after: Option<&AccountImage>,
) -> Vec<Milestone> {
    let Some(after) = after else {
        return Vec::new();
    };
    let mut milestones = Vec::new();
    if before.is_none() {
        milestones.push(Milestone::new(user, MilestoneKind::Joined, "", after.joined_at));
    }
    let today = day(after.last_seen_at);
    if before.is_none_or(|before| day(before.last_seen_at) < today) {
        milestones.push(Milestone::new(user, MilestoneKind::SignedIn, &today, after.last_seen_at));
    }
    let asked_before = before.is_some_and(|before| before.erase_at.is_some());
    if let Some(erase_at) = after.erase_at.filter(|_| !asked_before) {
        let occasion = erase_at.to_string();
        let kind = MilestoneKind::DeletionAsked;
        milestones.push(Milestone::new(user, kind, &occasion, after.updated_at));
    }
    milestones
}

/// What milestones need to know of an enrolment, a completion, a badge or a certificate: items that are there since
/// what they tell happened, and that nothing takes away but their user's leaving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearningImage {
    /// Somebody joined something.
    Enrolled(Target, Timestamp),
    /// Somebody completed something.
    Completed(Target, Timestamp),
    /// Somebody got a badge.
    Awarded(BadgeName, Timestamp),
    /// Somebody got a certificate.
    Certified(CertificateName, Timestamp),
}

/// The milestone of a write of such an item.
pub fn of_learning(
    user: &UserId,
    before: Option<&LearningImage>,
    after: Option<&LearningImage>,
) -> Option<Milestone> {
    use MilestoneKind::{
        BadgeAwarded, CertificateAwarded, CourseCompleted, CourseEnrolled, PathwayCompleted,
        PathwayEnrolled,
    };
    if before.is_some() {
        return None;
    }
    let (kind, subject, at) = match after? {
        LearningImage::Enrolled(Target { kind: TargetKind::Course, slug }, at) => {
            (CourseEnrolled, slug.to_string(), at)
        }
        LearningImage::Enrolled(Target { kind: TargetKind::Pathway, slug }, at) => {
            (PathwayEnrolled, slug.to_string(), at)
        }
        LearningImage::Completed(Target { kind: TargetKind::Course, slug }, at) => {
            (CourseCompleted, slug.to_string(), at)
        }
        LearningImage::Completed(Target { kind: TargetKind::Pathway, slug }, at) => {
            (PathwayCompleted, slug.to_string(), at)
        }
        LearningImage::Awarded(BadgeName { kind, slug }, at) => {
            (BadgeAwarded, format!("{kind} {slug}"), at)
        }
        LearningImage::Certified(name, at) => (CertificateAwarded, name.to_string(), at),
    };
    Some(Milestone::about(user, kind, &subject, *at))
}

/// What milestones need to know of progress in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleImage {
    /// Which.
    pub module: Slug,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// The quizzes that were passed, and when first.
    pub quizzes_passed: BTreeMap<Slug, Timestamp>,
}

/// The milestones of a write of progress in a module.
pub fn of_module(
    user: &UserId,
    before: Option<&ModuleImage>,
    after: Option<&ModuleImage>,
) -> Vec<Milestone> {
    let Some(after) = after else {
        return Vec::new();
    };
    let ModuleImage { module, started_at, completed_at, quizzes_passed } = after;
    let of_module = |kind, at: &Timestamp| Milestone::about(user, kind, module.as_str(), *at);
    let started = before.is_none().then(|| of_module(MilestoneKind::ModuleStarted, started_at));
    let had_completed = before.is_some_and(|before| before.completed_at.is_some());
    let completed = completed_at.as_ref().filter(|_| !had_completed);
    let completed = completed.map(|at| of_module(MilestoneKind::ModuleCompleted, at));
    let had_passed =
        |quiz: &Slug| before.is_some_and(|before| before.quizzes_passed.contains_key(quiz));
    let passed = quizzes_passed.iter().filter(|(quiz, _)| !had_passed(quiz)).map(|(quiz, at)| {
        Milestone::about(user, MilestoneKind::QuizPassed, &format!("{module}/{quiz}"), *at)
    });
    started.into_iter().chain(passed).chain(completed).collect()
}

/// A milestone that the CRM was not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MilestoneRow {
    /// What waits.
    pub milestone: Milestone,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// Since when it waits.
    pub first_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
}

impl MilestoneRow {
    /// A row that is due at once.
    pub fn new(milestone: Milestone, now: Timestamp) -> Self {
        Self { milestone, attempts: 0, first_at: now, due_at: now }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rollcall_domain::random::SeededRandom;

    use super::*;
    use crate::schema::EVENTS;

    const DAY: i64 = 24 * 60 * 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user() -> UserId {
        UserId::new(at(0), &SeededRandom::new(1))
    }

    fn image(seen: i64, erase_at: Option<i64>, updated: i64) -> AccountImage {
        AccountImage {
            joined_at: at(5),
            last_seen_at: at(seen),
            erase_at: erase_at.map(at),
            updated_at: at(updated),
        }
    }

    fn check(
        before: Option<&AccountImage>,
        after: Option<&AccountImage>,
        expected: &[(MilestoneKind, i64)],
    ) {
        let found = of_account(&user(), before, after);
        let found: Vec<_> = found.into_iter().map(|m| (m.kind, m.at.as_second())).collect();
        assert_eq!(found, expected, "{before:?} {after:?}");
    }

    #[test]
    fn a_write_is_a_milestone_only_where_something_happened_for_the_first_time() {
        use MilestoneKind::{DeletionAsked, Joined, SignedIn};
        let seen = |seen| image(seen, None, seen);
        check(None, Some(&seen(5)), &[(Joined, 5), (SignedIn, 5)]);
        check(Some(&seen(5)), Some(&seen(DAY - 1)), &[]);
        check(Some(&seen(DAY - 1)), Some(&seen(DAY)), &[(SignedIn, DAY)]);
        check(Some(&seen(DAY)), Some(&seen(3 * DAY)), &[(SignedIn, 3 * DAY)]);
        check(Some(&seen(DAY)), Some(&seen(5)), &[]);
        let leaving = image(5, Some(100), 9);
        check(Some(&seen(5)), Some(&leaving), &[(DeletionAsked, 9)]);
        check(Some(&leaving), Some(&leaving), &[]);
        check(Some(&leaving), Some(&seen(5)), &[]);
        check(Some(&leaving), None, &[]);
        check(None, None, &[]);
    }

    #[test]
    fn an_id_is_a_uuid_and_another_for_every_occasion() {
        let ids = [
            (MilestoneKind::Joined, ""),
            (MilestoneKind::SignedIn, "1970-01-01"),
            (MilestoneKind::SignedIn, "1970-01-02"),
            (MilestoneKind::DeletionAsked, "1970-01-02"),
        ]
        .map(|(kind, occasion)| Milestone::new(&user(), kind, occasion, at(0)).id);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        for id in &ids {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(
                id.get(14..15) == Some("8") && "89ab".contains(id.get(19..20).unwrap()),
                "{id}"
            );
        }
        let later = Milestone::new(&user(), MilestoneKind::Joined, "", at(9));
        assert_eq!(later.id, ids[0], "the id never depends on when a record came");
    }

    #[test]
    fn every_kind_has_an_event_of_its_own() {
        let events: BTreeSet<&str> = MilestoneKind::ALL.map(MilestoneKind::event).into();
        let declared: BTreeSet<&str> = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(events, declared);
        assert_eq!(EVENTS.len(), MilestoneKind::ALL.len());
    }

    #[test]
    fn what_was_learned_is_told_when_it_is_first_there() {
        use MilestoneKind::{ModuleCompleted, ModuleStarted, QuizPassed};
        let slug = |text: &str| -> Slug { text.parse().unwrap() };
        let image = |completed: Option<i64>, passed: &[(&str, i64)]| ModuleImage {
            module: slug("m"),
            started_at: at(1),
            completed_at: completed.map(at),
            quizzes_passed: passed.iter().map(|(quiz, second)| (slug(quiz), at(*second))).collect(),
        };
        let told = |before: Option<&ModuleImage>, after: Option<&ModuleImage>| -> Vec<_> {
            let found = of_module(&user(), before, after).into_iter();
            found.map(|m| (m.kind, m.subject, m.at.as_second())).collect()
        };
        let begun = image(None, &[]);
        let passed = image(None, &[("q", 2)]);
        let complete = image(Some(4), &[("q", 2), ("r", 4)]);
        let of = |kind, subject: &str, second: i64| (kind, subject.to_owned(), second);
        assert_eq!(told(None, Some(&begun)), [of(ModuleStarted, "m", 1)]);
        assert_eq!(told(Some(&begun), Some(&passed)), [of(QuizPassed, "m/q", 2)]);
        assert_eq!(
            told(Some(&passed), Some(&complete)),
            [of(QuizPassed, "m/r", 4), of(ModuleCompleted, "m", 4)]
        );
        assert_eq!(told(Some(&complete), Some(&complete)), []);
        assert_eq!(told(Some(&complete), None), []);
        let target = Target::course(slug("c"));
        let images = [
            LearningImage::Enrolled(target.clone(), at(1)),
            LearningImage::Enrolled(Target::pathway(slug("c")), at(1)),
            LearningImage::Completed(target, at(1)),
            LearningImage::Completed(Target::pathway(slug("c")), at(1)),
            LearningImage::Awarded(
                BadgeName { kind: rollcall_domain::badge::BadgeKind::Course, slug: slug("c") },
                at(1),
            ),
        ];
        let of = |image: &LearningImage| of_learning(&user(), None, Some(image)).unwrap();
        let told: BTreeSet<(MilestoneKind, String)> =
            images.iter().map(of).map(|milestone| (milestone.kind, milestone.id)).collect();
        assert_eq!(told.len(), images.len());
        let subject = of(&images[4]).subject;
        assert_eq!(subject, "course c");
        for image in &images {
            assert_eq!(of_learning(&user(), Some(image), Some(image)), None);
            assert_eq!(of_learning(&user(), Some(image), None), None);
        }
    }

    #[test]
    fn every_kind_that_names_something_has_an_event_that_says_what() {
        let with_subject = EVENTS.iter().filter(|event| event.subject.is_some());
        let learning =
            MilestoneKind::ALL.into_iter().filter(|kind| kind.facet() == Facet::Learning);
        assert!(with_subject.map(|event| event.name).eq(learning.map(MilestoneKind::event)));
    }

    /// A history of a user's item: seconds between sign-ins, and whether the user asks to leave or
    /// stays.
    fn history() -> impl Strategy<Value = Vec<AccountImage>> {
        prop::collection::vec((0..2 * DAY, 0..4_u8), 1..20).prop_map(|steps| {
            let (mut now, mut last) = (5, image(5, None, 5));
            let mut images = vec![last.clone()];
            for (pause, what) in steps {
                now += pause + 1;
                last = match what {
                    0 => AccountImage { erase_at: Some(at(now + 7 * DAY)), ..last },
                    1 => AccountImage { erase_at: None, ..last },
                    _ => AccountImage { last_seen_at: at(now), ..last },
                };
                last.updated_at = at(now);
                images.push(last.clone());
            }
            images
        })
    }

    proptest! {
        #[test]
        fn records_that_come_twice_or_in_any_order_tell_the_same(
            images in history(),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let before = std::iter::once(None).chain(images.iter().map(Some));
            let records: Vec<_> = before.zip(&images).collect();
            let of = |index: usize| {
                let (before, after) = records[index];
                of_account(&user(), before, Some(after))
            };
            let once: Vec<Milestone> = (0..records.len()).flat_map(of).collect();
            let ids: BTreeSet<&String> = once.iter().map(|milestone| &milestone.id).collect();
            prop_assert_eq!(ids.len(), once.len(), "one id was given twice");
            let again = order.iter().map(|index| index.index(records.len())).chain(0..records.len());
            let told: BTreeSet<Milestone> = again.flat_map(of).collect();
            prop_assert_eq!(told, once.iter().cloned().collect::<BTreeSet<_>>());
            let days: BTreeSet<String> = images.iter().map(|image| day(image.last_seen_at)).collect();
            let signed_in = once.iter().filter(|m| m.kind == MilestoneKind::SignedIn);
            prop_assert_eq!(signed_in.count(), days.len());
        }
    }
}
