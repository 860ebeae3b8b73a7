//! Progress in modules, from the events that front ends report.

use crate::catalog::Catalog;
use crate::enrollment::{Enrollment, Target, enroll};
use crate::learning::Learner;
use crate::slug::Slug;
use crate::time::Timestamp;

/// One user's progress in one module. A module that is part of two courses has one progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleProgress {
    /// The module.
    pub module: Slug,
    /// When it was first begun. Never changes.
    pub started_at: Timestamp,
    /// When it was first completed. Never changes.
    pub completed_at: Option<Timestamp>,
}

impl ModuleProgress {
    /// The later of begun and completed.
    pub fn last_at(&self) -> Timestamp {
        self.completed_at.unwrap_or(self.started_at)
    }
}

/// A completed course or pathway, with the evidence: the modules it had at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What was completed.
    pub target: Target,
    /// The modules that were complete.
    pub modules: Vec<Slug>,
    /// When. Never changes.
    pub completed_at: Timestamp,
}

/// What happened to a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleAction {
    /// It was begun.
    Started,
    /// It was completed.
    Completed,
}

/// Something a learner did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearningEvent {
    /// What happened.
    pub action: ModuleAction,
    /// To which module.
    pub module: Slug,
    /// Within which course, if the page knows.
    pub course: Option<Slug>,
}

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventRefusal {
    /// The catalogue has no such module (fault D2: such events vanished and were called stored).
    #[error("no such module")]
    UnknownModule,
    /// The catalogue has no such course.
    #[error("no such course")]
    UnknownCourse,
    /// The module is not part of the course.
    #[error("the module is not part of this course")]
    NotInCourse,
}

/// What a batch of events changes. Everything is written together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or changed progress.
    pub modules: Vec<ModuleProgress>,
    /// New enrolments: working on a module of a course enrols in the course.
    pub enrollments: Vec<Enrollment>,
    /// New completions.
    pub completions: Vec<Completion>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.enrollments.is_empty() && self.completions.is_empty()
    }

    /// Items that the write touches.
    pub fn len(&self) -> usize {
        self.modules.len() + self.enrollments.len() + self.completions.len()
    }
}

/// The source that an enrolment caused by a module event carries.
pub const MODULE_EVENT_SOURCE: &str = "module_event";

/// What `events` change for `learner`, or which event is refused and why; then none counts.
///
/// Times are ours, not the caller's, and the first time wins (fault D4).
pub fn record(
    learner: &Learner,
    catalog: &Catalog,
    events: &[LearningEvent],
    now: Timestamp,
) -> Result<Changes, (usize, EventRefusal)> {
    let mut after = learner.clone();
    let mut changes = Changes::default();
    for (index, event) in events.iter().enumerate() {
        check(catalog, event).map_err(|refusal| (index, refusal))?;
        if let Some(course) = &event.course {
            let target = Target::course(course.clone());
            // Somebody who left a course stays out until they say otherwise.
            if !after.enrollments.contains_key(&target)
                && let Some(new) = enroll(None, &target, Some(MODULE_EVENT_SOURCE), now)
            {
                after.enrollments.insert(target, new.clone());
                changes.enrollments.push(new);
            }
        }
        if let Some(new) = advance(after.modules.get(&event.module), event, now) {
            after.modules.insert(event.module.clone(), new.clone());
            changes.modules.retain(|earlier| earlier.module != new.module);
            changes.modules.push(new);
        }
    }
    changes.completions = after.missing_completions(catalog, now);
    // A completed pathway follows from courses that are only now recorded, so look once more.
    for completion in &changes.completions {
        after.completions.insert(completion.target.clone(), completion.clone());
    }
    changes.completions.extend(after.missing_completions(catalog, now));
    Ok(changes)
}

fn check(catalog: &Catalog, event: &LearningEvent) -> Result<(), EventRefusal> {
    catalog.module(&event.module).ok_or(EventRefusal::UnknownModule)?;
    let Some(slug) = &event.course else {
        return Ok(());
    };
    let course = catalog.course(slug).ok_or(EventRefusal::UnknownCourse)?;
    if course.modules.contains(&event.module) { Ok(()) } else { Err(EventRefusal::NotInCourse) }
}

fn advance(
    existing: Option<&ModuleProgress>,
    event: &LearningEvent,
    now: Timestamp,
) -> Option<ModuleProgress> {
    let completed_at = match event.action {
        ModuleAction::Started => None,
        ModuleAction::Completed => Some(now),
    };
    match existing {
        None => {
            Some(ModuleProgress { module: event.module.clone(), started_at: now, completed_at })
        }
        Some(progress) if progress.completed_at.is_none() && completed_at.is_some() => {
            Some(ModuleProgress { completed_at, ..progress.clone() })
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Course, Module, Pathway};
    use crate::learning::Status;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn catalog() -> Catalog {
        let module = |name: &str| Module::new(slug(name), name, Vec::new());
        let course = |name: &str, modules: &[&str]| {
            Course::new(slug(name), name, modules.iter().map(|module| slug(module)).collect())
        };
        let pathway = Pathway::new(slug("path"), "path", vec![slug("one"), slug("two")]);
        let courses = vec![course("one", &["a", "b"]), course("two", &["b", "c"])];
        Catalog::new(vec![pathway], courses, vec![module("a"), module("b"), module("c")]).unwrap()
    }

    fn event(action: ModuleAction, module: &str, course: Option<&str>) -> LearningEvent {
        LearningEvent { action, module: slug(module), course: course.map(slug) }
    }

    fn apply(learner: &mut Learner, changes: Changes) {
        learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
        learner.enrollments.extend(changes.enrollments.into_iter().map(|e| (e.target.clone(), e)));
        learner.completions.extend(changes.completions.into_iter().map(|c| (c.target.clone(), c)));
    }

    #[test]
    fn completing_every_module_completes_course_and_pathway_once() {
        let catalog = catalog();
        let mut learner = Learner::default();
        for (second, module) in [(1, "a"), (2, "b"), (3, "c")] {
            let events = [event(ModuleAction::Completed, module, None)];
            let changes = record(&learner, &catalog, &events, at(second)).unwrap();
            apply(&mut learner, changes);
        }
        let completed = |target: Target| learner.completions.get(&target).map(|c| c.completed_at);
        assert_eq!(completed(Target::course(slug("one"))), Some(at(2)));
        assert_eq!(completed(Target::course(slug("two"))), Some(at(3)));
        assert_eq!(completed(Target::pathway(slug("path"))), Some(at(3)));
        let again = [event(ModuleAction::Completed, "a", None)];
        assert!(record(&learner, &catalog, &again, at(9)).unwrap().is_empty());
    }

    #[test]
    fn d_02_events_that_cannot_be_stored_are_refused_by_position() {
        let good = event(ModuleAction::Started, "a", Some("one"));
        for (bad, refusal) in [
            (event(ModuleAction::Started, "x", None), EventRefusal::UnknownModule),
            (event(ModuleAction::Started, "a", Some("x")), EventRefusal::UnknownCourse),
            (event(ModuleAction::Started, "a", Some("two")), EventRefusal::NotInCourse),
        ] {
            let refused = record(&Learner::default(), &catalog(), &[good.clone(), bad], at(1));
            assert_eq!(refused, Err((1, refusal)));
        }
    }

    #[test]
    fn d_03_a_module_added_to_a_course_never_takes_back_its_completion() {
        let mut learner = Learner::default();
        let done = ["a", "b"].map(|module| event(ModuleAction::Completed, module, None));
        let changes = record(&learner, &catalog(), &done, at(1)).unwrap();
        apply(&mut learner, changes);
        let grown = Course::new(slug("one"), "one", vec![slug("a"), slug("b"), slug("c")]);
        assert_eq!(learner.course_status(&grown).status, Status::Complete);
    }

    fn events() -> impl Strategy<Value = Vec<LearningEvent>> {
        let one = (any::<bool>(), 0..3_usize, any::<bool>()).prop_map(|(done, module, within)| {
            let action = if done { ModuleAction::Completed } else { ModuleAction::Started };
            let (module, course) = [("a", "one"), ("b", "one"), ("c", "two")][module];
            event(action, module, within.then_some(course))
        });
        prop::collection::vec(one, 0..20)
    }

    proptest! {
        #[test]
        fn any_split_of_the_same_events_leads_to_the_same_facts(events in events(), cut in 0..20_usize) {
            let catalog = catalog();
            let mut whole = Learner::default();
            let changes = record(&whole, &catalog, &events, at(1)).unwrap();
            apply(&mut whole, changes);
            let mut parts = Learner::default();
            let cut = cut.min(events.len());
            for part in [&events[..cut], &events[cut..], &events[..]] {
                let changes = record(&parts, &catalog, part, at(1)).unwrap();
                apply(&mut parts, changes);
            }
            prop_assert_eq!(whole, parts);
        }
    }
}
