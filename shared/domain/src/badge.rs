//! Badges: what somebody has reached, said in a few words. Each follows from what is recorded of a
//! learner, and from nothing else, so whoever awards may do so late, twice, or in any order; but those
//! that the catalogue says an instructor gives.
//!
//! What is recorded is never taken back, and neither is a badge that follows from it: more facts only
//! bring more badges.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;

use crate::catalog::{BadgeRule, Catalog};
use crate::enrollment::{Target, TargetKind};
use crate::id::UserId;
use crate::learning::Learner;
use crate::limits::QUICK_COURSE_SECONDS;
use crate::slug::Slug;
use crate::time::{Timestamp, after_seconds, date};

/// The kinds of badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BadgeKind {
    /// For the first module that somebody completes.
    FirstModule,
    /// For a course.
    Course,
    /// For a course that was completed within seven days of joining it.
    QuickCourse,
    /// For a pathway.
    Pathway,
    /// For tasks that were done on days in a row.
    Streak,
    /// For what an instructor saw.
    ByHand,
}

impl BadgeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::FirstModule,
        Self::Course,
        Self::QuickCourse,
        Self::Pathway,
        Self::Streak,
        Self::ByHand,
    ];

    /// The name in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstModule => "first_module",
            Self::Course => "course",
            Self::QuickCourse => "quick_course",
            Self::Pathway => "pathway",
            Self::Streak => "streak",
            Self::ByHand => "by_hand",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for BadgeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A badge, as it is told apart from the others of one person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BadgeName {
    /// What kind.
    pub kind: BadgeKind,
    /// For which module, course or pathway; of the other kinds, the badge's own name.
    pub slug: Slug,
}

/// A badge that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Which.
    pub name: BadgeName,
    /// When it was earned: the time of the fact that it follows from.
    pub earned_at: Timestamp,
    /// Who gave it, if somebody did.
    pub given_by: Option<UserId>,
    /// Whether the fact is one that an earlier system told: history, and no news to anybody.
    pub is_history: bool,
}

/// Every badge that a learner has earned by what they did, by name.
pub fn earned(learner: &Learner, catalog: &Catalog) -> Vec<Badge> {
    let badge = |kind, slug: &Slug, earned_at, is_history| Badge {
        name: BadgeName { kind, slug: slug.clone() },
        earned_at,
        given_by: None,
        is_history,
    };
    let completed = learner.modules.iter().filter_map(|(slug, progress)| {
        let completion = progress.completion.as_ref()?;
        Some((completion.completed_at, slug, completion.version.is_elsewhere()))
    });
    let mut badges: Vec<Badge> = completed
        .min()
        .map(|(at, slug, is_history)| badge(BadgeKind::FirstModule, slug, at, is_history))
        .into_iter()
        .collect();
    for (target, completion) in &learner.completions {
        let Target { kind, slug } = target;
        let (at, is_history) = (completion.completed_at, completion.version.is_elsewhere());
        match kind {
            TargetKind::Pathway => badges.push(badge(BadgeKind::Pathway, slug, at, is_history)),
            TargetKind::Course => {
                badges.push(badge(BadgeKind::Course, slug, at, is_history));
                let joined = learner.enrollments.get(target);
                let is_quick = joined.is_some_and(|joined| {
                    joined.enrolled_at <= at
                        && at < after_seconds(joined.enrolled_at, QUICK_COURSE_SECONDS)
                });
                if is_quick {
                    badges.push(badge(BadgeKind::QuickCourse, slug, at, is_history));
                }
            }
        }
    }
    for terms in catalog.badges() {
        let BadgeRule::Streak { days } = terms.rule else { continue };
        let earned_at = streak(learner, days);
        badges.extend(earned_at.map(|at| badge(BadgeKind::Streak, &terms.slug, at, false)));
    }
    badges.sort_by(|one, other| one.name.cmp(&other.name));
    badges
}

/// When somebody did a task for the first time on the last of `days` days in a row. Only what the
/// server saw counts, no time that a browser told.
fn streak(learner: &Learner, days: u32) -> Option<Timestamp> {
    let mut first_of: BTreeMap<Date, Timestamp> = BTreeMap::new();
    let tasks = learner.modules.values().flat_map(|module| module.tasks.values());
    for at in tasks.filter_map(|task| task.done_at) {
        first_of.entry(date(at)).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
    let (mut run, mut last): (u32, Option<Date>) = (0, None);
    for (day, at) in first_of {
        let follows = last.is_some_and(|last| last.tomorrow().is_ok_and(|next| next == day));
        run = if follows { run.saturating_add(1) } else { 1 };
        if run >= days {
            return Some(at);
        }
        last = Some(day);
    }
    None
}

/// The badges that are earned and not `awarded` yet. There is one first module, whichever it was when
/// it was awarded: an older one that is told later takes nothing away.
pub fn missing(earned: Vec<Badge>, awarded: &[Badge]) -> Vec<Badge> {
    let has = |name: &BadgeName| {
        awarded.iter().any(|badge| match name.kind {
            BadgeKind::FirstModule => badge.name.kind == BadgeKind::FirstModule,
            BadgeKind::Course
            | BadgeKind::QuickCourse
            | BadgeKind::Pathway
            | BadgeKind::Streak
            | BadgeKind::ByHand => badge.name == *name,
        })
    };
    earned.into_iter().filter(|badge| !has(&badge.name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::catalog::{BadgeTerms, CatalogVersion, Terms};
    use crate::enrollment::enroll;
    use crate::progress::{Completion, ModuleCompletion, ModuleProgress, TaskRecord};

    const DAY: i64 = 24 * 60 * 60;

    fn earned_of(learner: &Learner) -> Vec<Badge> {
        let badge = |name: &str, rule| {
            let (title, summary) = (name.to_owned(), name.to_owned());
            BadgeTerms { slug: slug(name), title, summary, rule }
        };
        let badges = vec![
            badge("three-days", BadgeRule::Streak { days: 3 }),
            badge("helper", BadgeRule::ByHand),
        ];
        earned(learner, &Catalog::default().with_badges(badges).unwrap())
    }

    fn with_task(mut learner: Learner, task: &str, done: i64) -> Learner {
        let begun = ModuleProgress::begun(slug("tasks"), at(0));
        let progress = learner.modules.entry(slug("tasks")).or_insert(begun);
        let record = TaskRecord {
            attempts: 1,
            best_score: None,
            done_at: Some(at(done)),
            last_at: at(done),
            failed_at: None,
            evidence_url: None,
            grading: None,
            review: None,
        };
        progress.tasks.insert(slug(task), record);
        learner
    }

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn with_module(mut learner: Learner, name: &str, completed: i64) -> Learner {
        let completion = ModuleCompletion {
            completed_at: at(completed),
            version: CatalogVersion::default(),
            tasks: Vec::new(),
        };
        let begun = ModuleProgress::begun(slug(name), at(0));
        let progress = ModuleProgress { completion: Some(completion), ..begun };
        learner.modules.insert(slug(name), progress);
        learner
    }

    fn with_completion(mut learner: Learner, target: Target, completed: i64) -> Learner {
        let completion = Completion {
            target: target.clone(),
            version: CatalogVersion::default(),
            modules: Vec::new(),
            completed_at: at(completed),
        };
        learner.completions.insert(target, completion);
        learner
    }

    fn joined(mut learner: Learner, target: &Target, since: i64) -> Learner {
        let enrollment = enroll(None, target, &Terms::default(), None, at(since)).unwrap();
        learner.enrollments.insert(target.clone(), enrollment);
        learner
    }

    fn names(badges: &[Badge]) -> Vec<String> {
        badges.iter().map(|badge| format!("{} {}", badge.name.kind, badge.name.slug)).collect()
    }

    #[test]
    fn badges_follow_from_what_is_recorded() {
        let course = Target::course(slug("streams"));
        let nothing = Learner::default();
        assert_eq!(names(&earned_of(&nothing)), Vec::<String>::new());
        let begun = with_module(with_module(nothing, "b", 5), "a", 9);
        assert_eq!(names(&earned_of(&begun)), ["first_module b"]);
        for (since, completed, quick) in [
            (Some(100), 100 + QUICK_COURSE_SECONDS - 1, true),
            (Some(100), 100 + QUICK_COURSE_SECONDS, false),
            (Some(100), 99, false),
            (None, 100, false),
        ] {
            let learner = with_completion(begun.clone(), course.clone(), completed);
            let learner = match since {
                Some(since) => joined(learner, &course, since),
                None => learner,
            };
            let mut expected = vec!["first_module b", "course streams"];
            expected.extend(quick.then_some("quick_course streams"));
            assert_eq!(names(&earned_of(&learner)), expected, "{since:?} {completed}");
        }
        let pathway = Target::pathway(slug("streams"));
        let all = with_completion(begun, pathway, 3);
        assert_eq!(names(&earned_of(&all)), ["first_module b", "pathway streams"]);
        assert_eq!(earned_of(&all)[1].earned_at, at(3));
    }

    #[test]
    fn a_streak_is_of_days_in_a_row_and_ends_with_the_first_that_is_long_enough() {
        for (days, expected) in [
            (vec![0, 1, 2], Some(2)),
            (vec![0, 1, 3, 4], None),
            (vec![9, 7, 8, 0, 1], Some(9)),
            (vec![0, 1, 2, 3], Some(2)),
            (vec![], None),
        ] {
            let learner = days.iter().fold(Learner::default(), |learner, day| {
                let evening = with_task(learner, &format!("late-{day}"), day * DAY + DAY - 1);
                with_task(evening, &format!("early-{day}"), day * DAY)
            });
            let expected = expected.map(|day: i64| at(day * DAY));
            let earned = earned_of(&learner).into_iter().map(|badge| badge.earned_at);
            assert_eq!(earned.collect::<Vec<_>>(), Vec::from_iter(expected), "{days:?}");
        }
    }

    #[test]
    fn nobody_gets_a_second_first_module() {
        let before = with_module(Learner::default(), "b", 5);
        let awarded = earned_of(&before);
        let earlier = with_module(before, "a", 1);
        assert_eq!(missing(earned_of(&earlier), &awarded), []);
        assert_eq!(names(&missing(earned_of(&earlier), &[])), ["first_module a"]);
    }

    proptest! {
        /// However the facts come, and however often somebody looks, the same badges come of it.
        #[test]
        fn facts_in_any_order_and_looks_at_any_time_award_the_same(
            order in Just((0_usize..8).collect::<Vec<_>>()).prop_shuffle(),
            looks in subsequence((0_usize..8).collect::<Vec<_>>(), 0..8),
        ) {
            let course = Target::course(slug("streams"));
            let fact = |learner: Learner, fact: usize| match fact {
                0 => with_module(learner, "a", 1),
                1 => with_module(learner, "b", 2),
                2 => joined(learner, &course, 1),
                3 => with_completion(learner, course.clone(), 4),
                4 => with_task(learner, "x", 1),
                5 => with_task(learner, "y", DAY + 1),
                6 => with_task(learner, "z", 2 * DAY + 1),
                _ => with_completion(learner, Target::pathway(slug("all")), 5),
            };
            let (mut learner, mut awarded) = (Learner::default(), Vec::new());
            for (index, next) in order.into_iter().enumerate() {
                let before = earned_of(&learner).len();
                learner = fact(learner, next);
                prop_assert!(earned_of(&learner).len() >= before, "nothing is taken back");
                if looks.contains(&index) || index == 7 {
                    awarded.extend(missing(earned_of(&learner), &awarded));
                }
            }
            prop_assert_eq!(missing(earned_of(&learner), &awarded), vec![]);
            let kinds = |kind| awarded.iter().filter(|badge| badge.name.kind == kind).count();
            for kind in BadgeKind::ALL {
                prop_assert_eq!(kinds(kind), usize::from(kind != BadgeKind::ByHand), "{}", kind);
            }
        }
    }
}
