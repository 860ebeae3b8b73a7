//! Badges: what somebody has reached, said in a few words. Each follows from what is recorded of a
//! learner, and from nothing else, so whoever awards may do so late, twice, or in any order.
//!
//! What is recorded is never taken back, and neither is a badge: more facts only bring more badges.

use std::fmt;

use crate::enrollment::{Target, TargetKind};
use crate::learning::Learner;
use crate::limits::QUICK_COURSE_SECONDS;
use crate::slug::Slug;
use crate::time::{Timestamp, after_seconds};

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
}

impl BadgeKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::FirstModule, Self::Course, Self::QuickCourse, Self::Pathway];

    /// The name in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstModule => "first_module",
            Self::Course => "course",
            Self::QuickCourse => "quick_course",
            Self::Pathway => "pathway",
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
    /// For which module, course or pathway.
    pub slug: Slug,
}

/// A badge that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Which.
    pub name: BadgeName,
    /// When it was earned: the time of the fact that it follows from.
    pub earned_at: Timestamp,
}

/// Every badge that a learner has earned, by name.
pub fn earned(learner: &Learner) -> Vec<Badge> {
    let badge = |kind, slug: &Slug, earned_at| Badge {
        name: BadgeName { kind, slug: slug.clone() },
        earned_at,
    };
    let completed = learner.modules.iter().filter_map(|(slug, progress)| {
        let completion = progress.completion.as_ref()?;
        Some((completion.completed_at, slug))
    });
    let mut badges: Vec<Badge> = completed
        .min()
        .map(|(completed_at, slug)| badge(BadgeKind::FirstModule, slug, completed_at))
        .into_iter()
        .collect();
    for (target, completion) in &learner.completions {
        let Target { kind, slug } = target;
        let at = completion.completed_at;
        match kind {
            TargetKind::Pathway => badges.push(badge(BadgeKind::Pathway, slug, at)),
            TargetKind::Course => {
                badges.push(badge(BadgeKind::Course, slug, at));
                let joined = learner.enrollments.get(target);
                let is_quick = joined.is_some_and(|joined| {
                    joined.enrolled_at <= at
                        && at < after_seconds(joined.enrolled_at, QUICK_COURSE_SECONDS)
                });
                if is_quick {
                    badges.push(badge(BadgeKind::QuickCourse, slug, at));
                }
            }
        }
    }
    badges.sort_by(|one, other| one.name.cmp(&other.name));
    badges
}

/// The badges that are earned and not `awarded` yet. There is one first module, whichever it was when
/// it was awarded: an older one that is told later takes nothing away.
pub fn missing(earned: Vec<Badge>, awarded: &[Badge]) -> Vec<Badge> {
    let has = |name: &BadgeName| {
        awarded.iter().any(|badge| match name.kind {
            BadgeKind::FirstModule => badge.name.kind == BadgeKind::FirstModule,
            BadgeKind::Course | BadgeKind::QuickCourse | BadgeKind::Pathway => badge.name == *name,
        })
    };
    earned.into_iter().filter(|badge| !has(&badge.name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::catalog::{CatalogVersion, Terms};
    use crate::enrollment::enroll;
    use crate::progress::{Completion, ModuleCompletion, ModuleProgress};

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
        assert_eq!(names(&earned(&nothing)), Vec::<String>::new());
        let begun = with_module(with_module(nothing, "b", 5), "a", 9);
        assert_eq!(names(&earned(&begun)), ["first_module b"]);
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
            assert_eq!(names(&earned(&learner)), expected, "{since:?} {completed}");
        }
        let pathway = Target::pathway(slug("streams"));
        let all = with_completion(begun, pathway, 3);
        assert_eq!(names(&earned(&all)), ["first_module b", "pathway streams"]);
        assert_eq!(earned(&all)[1].earned_at, at(3));
    }

    #[test]
    fn nobody_gets_a_second_first_module() {
        let before = with_module(Learner::default(), "b", 5);
        let awarded = earned(&before);
        let earlier = with_module(before, "a", 1);
        assert_eq!(missing(earned(&earlier), &awarded), []);
        assert_eq!(names(&missing(earned(&earlier), &[])), ["first_module a"]);
    }

    proptest! {
        /// However the facts come, and however often somebody looks, the same badges come of it.
        #[test]
        fn facts_in_any_order_and_looks_at_any_time_award_the_same(
            order in Just(vec![0_usize, 1, 2, 3, 4]).prop_shuffle(),
            looks in subsequence(vec![0_usize, 1, 2, 3, 4], 0..5),
        ) {
            let course = Target::course(slug("streams"));
            let fact = |learner: Learner, fact: usize| match fact {
                0 => with_module(learner, "a", 1),
                1 => with_module(learner, "b", 2),
                2 => joined(learner, &course, 1),
                3 => with_completion(learner, course.clone(), 4),
                _ => with_completion(learner, Target::pathway(slug("all")), 5),
            };
            let (mut learner, mut awarded) = (Learner::default(), Vec::new());
            for (index, next) in order.into_iter().enumerate() {
                let before = earned(&learner).len();
                learner = fact(learner, next);
                prop_assert!(earned(&learner).len() >= before, "nothing is taken back");
                if looks.contains(&index) || index == 4 {
                    awarded.extend(missing(earned(&learner), &awarded));
                }
            }
            prop_assert_eq!(missing(earned(&learner), &awarded), vec![]);
            let kinds = |kind| awarded.iter().filter(|badge| badge.name.kind == kind).count();
            for kind in BadgeKind::ALL {
                prop_assert_eq!(kinds(kind), 1, "{}", kind);
            }
        }
    }
}
