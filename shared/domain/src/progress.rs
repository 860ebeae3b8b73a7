//! Progress in modules: what learners did, and what follows from it at once.
//!
//! All times are ours, not the caller's, and the first time wins (fault D4); only the time of the last
//! attempt and the page viewed last move on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CatalogVersion, Course, LabTerms, Module, Task, TaskKind, Terms};
use crate::enrollment::{Enrollment, Target, TargetKind, admit, enroll};
use crate::grading::Grading;
use crate::learning::{Learner, Status};
use crate::limits::{ANONYMOUS_SECONDS_MAX, REVIEW_SECONDS_MAX};
use crate::slug::Slug;
use crate::time::{Timestamp, after_seconds};

/// One user's progress in one module. A module that is part of two courses has one progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleProgress {
    /// The module.
    pub module: Slug,
    /// When it was first begun. Never changes.
    pub started_at: Timestamp,
    /// That it is complete. Never taken back and never changed.
    pub completion: Option<ModuleCompletion>,
    /// What was done of its tasks.
    pub tasks: BTreeMap<Slug, TaskRecord>,
}

/// That a module is complete, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleCompletion {
    /// Since when.
    pub completed_at: Timestamp,
    /// By which version of the catalogue.
    pub version: CatalogVersion,
    /// The required tasks that were done; none where the module has none and its reader said so.
    pub tasks: Vec<Slug>,
}

/// What was done of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// How often it was tried.
    pub attempts: u32,
    /// The best score so far, in percent, of a quiz.
    pub best_score: Option<u32>,
    /// When it was first passed or attested. Never taken back (fault D9: a retake that failed did).
    pub done_at: Option<Timestamp>,
    /// When it was last tried.
    pub last_at: Timestamp,
    /// When it last failed, of a quiz; what a cool-down counts from.
    pub failed_at: Option<Timestamp>,
    /// The address of some evidence, of a lab.
    pub evidence_url: Option<String>,
    /// What an instructor last said about it.
    #[serde(default)]
    pub grading: Option<Grading>,
    /// Where a lab stands that a validator has to accept, until it does.
    #[serde(default)]
    pub review: Option<Review>,
}

/// Where a lab stands that was attested and that a validator has to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// The validator has not decided; since when it is pending.
    Pending(Timestamp),
    /// The validator has refused it; when.
    Refused(Timestamp),
}

impl TaskRecord {
    /// Whether the validator is being asked about it. Who is asked in vain for
    /// [`REVIEW_SECONDS_MAX`] is asked again only when it is attested again.
    pub fn is_asked_about(&self, now: Timestamp) -> bool {
        match self.review {
            Some(Review::Pending(since)) => now < after_seconds(since, REVIEW_SECONDS_MAX),
            Some(Review::Refused(_)) | None => false,
        }
    }
}

impl ModuleProgress {
    /// A module just begun.
    pub fn begun(module: Slug, now: Timestamp) -> Self {
        Self { module, started_at: now, completion: None, tasks: BTreeMap::new() }
    }

    /// When something was last done in it.
    pub fn last_at(&self) -> Timestamp {
        let completed = self.completion.iter().map(|completion| completion.completed_at);
        let tasks = self.tasks.values().map(|task| task.last_at);
        completed.chain(tasks).max().unwrap_or(self.started_at).max(self.started_at)
    }

    /// Whether a task was passed or attested, ever.
    pub fn is_done(&self, task: &Slug) -> bool {
        self.tasks.get(task).is_some_and(|record| record.done_at.is_some())
    }
}

/// A completed course or pathway, with the evidence: the modules it had at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What was completed.
    pub target: Target,
    /// By which version of the catalogue.
    pub version: CatalogVersion,
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

/// What is shown on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageView {
    /// `pathway`, `course` or `module`.
    pub kind: PageKind,
    /// Which one.
    pub slug: Slug,
    /// When it was viewed last.
    pub viewed_at: Timestamp,
}

/// What pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// A pathway.
    Pathway,
    /// A course.
    Course,
    /// A module.
    Module,
}

impl PageKind {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pathway => "pathway",
            Self::Course => "course",
            Self::Module => "module",
        }
    }
}

/// Something a learner did, as a front end reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearningEvent {
    /// Something happened to a module, within a course if the page knows.
    Module {
        /// What happened.
        action: ModuleAction,
        /// To which module.
        module: Slug,
        /// Within which course.
        course: Option<Slug>,
    },
    /// The learner joined a pathway or a course.
    Enrolled {
        /// What was joined.
        target: Target,
        /// Where the enrolment comes from.
        source: Option<String>,
    },
    /// A front end believes that a pathway or a course is complete.
    Completed(Target),
    /// A page was looked at.
    Viewed {
        /// What it shows.
        kind: PageKind,
        /// Which one.
        slug: Slug,
    },
}

impl LearningEvent {
    /// Something happened to a module.
    pub fn module(action: ModuleAction, module: Slug, course: Option<Slug>) -> Self {
        Self::Module { action, module, course }
    }
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
    /// The catalogue has no such pathway.
    #[error("no such pathway")]
    UnknownPathway,
    /// The module is not part of the course.
    #[error("the module is not part of this course")]
    NotInCourse,
    /// The module has required tasks that are not done; they, and no report, complete it.
    #[error("required tasks are not done: {done} of {required}")]
    TasksMissing {
        /// How many are done.
        done: usize,
        /// How many there are.
        required: usize,
    },
    /// The course or pathway is not complete.
    #[error("not complete: {done} of {required}")]
    NotComplete {
        /// How many of its parts are complete.
        done: usize,
        /// How many there are.
        required: usize,
    },
    /// Its terms do not let the learner enrol by an event.
    #[error("cannot be joined by an event: {0}")]
    NotAdmitted(String),
}

/// What follows from what a learner did. Everything is written together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or changed progress.
    pub modules: Vec<ModuleProgress>,
    /// New enrolments: working on a module of a course enrols in the course.
    pub enrollments: Vec<Enrollment>,
    /// New completions.
    pub completions: Vec<Completion>,
    /// The page viewed last, if that changed.
    pub viewed: Option<PageView>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.viewed.is_none()
    }

    /// Items that the write touches, beside the learner itself.
    pub fn len(&self) -> usize {
        self.modules.len() + self.enrollments.len() + self.completions.len()
    }
}

/// The source that an enrolment caused by a module event carries.
pub const MODULE_EVENT_SOURCE: &str = "module_event";

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// A quiz was graded.
    Graded {
        /// The score, in percent.
        score: u32,
        /// Whether that is enough.
        passed: bool,
    },
    /// A lab was attested, with the address of some evidence.
    Attested(Option<String>),
    /// An instructor graded it, which is no attempt.
    Judged(Grading),
    /// A lab was attested that a validator has to accept, with the address of some evidence.
    Claimed(Option<String>),
    /// The validator decided.
    Reviewed {
        /// About what was attested then.
        since: Timestamp,
        /// What.
        accepted: bool,
    },
}

/// The learner as it becomes, and what of it is new.
struct Draft<'draft> {
    after: Learner,
    changes: Changes,
    catalog: &'draft Catalog,
    /// When what is recorded happened.
    now: Timestamp,
    /// When we hear of it; later than `now` where a browser kept it. Who may enrol is decided as of then.
    heard_at: Timestamp,
    /// Whether an event may bring somebody back who has left.
    rejoins: bool,
}

/// What `events` change for `learner`, or which event is refused and why; then none counts.
pub fn record(
    learner: &Learner,
    catalog: &Catalog,
    events: &[LearningEvent],
    now: Timestamp,
) -> Result<Changes, (usize, EventRefusal)> {
    let mut draft = Draft::new(learner, catalog, now);
    for (index, event) in events.iter().enumerate() {
        draft.add(event).map_err(|refusal| (index, refusal))?;
    }
    Ok(draft.finish())
}

/// Something that a learner did before they signed in, as their browser kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// How the browser tells it from others.
    pub id: String,
    /// When, as the browser says.
    pub at: Timestamp,
    /// What.
    pub event: LearningEvent,
}

/// What `events` of before a sign-in change for `learner`, and for each event why it does not count,
/// if it does not: nobody can repeat what they did then, so one that is refused keeps no other out.
///
/// Nobody can prove these times: none is later than now, none older than
/// [`ANONYMOUS_SECONDS_MAX`], and what is recorded already has the time it has. Whether somebody may
/// enrol is decided as of now, and nobody is joined again who has left, so that a browser may send
/// them as often as it likes.
pub fn record_kept(
    learner: &Learner,
    catalog: &Catalog,
    events: &[KeptEvent],
    now: Timestamp,
) -> (Changes, Vec<Result<(), EventRefusal>>) {
    let oldest = after_seconds(now, -ANONYMOUS_SECONDS_MAX);
    let mut order: Vec<(usize, &KeptEvent)> = events.iter().enumerate().collect();
    order.sort_by_key(|(index, kept)| (kept.at, *index));
    let mut outcomes: BTreeMap<&str, Result<(), EventRefusal>> = BTreeMap::new();
    let mut draft = Draft { rejoins: false, ..Draft::new(learner, catalog, now) };
    for (_, kept) in order {
        if outcomes.contains_key(kept.id.as_str()) {
            continue;
        }
        let before = (draft.after.clone(), draft.changes.clone());
        draft.now = kept.at.clamp(oldest, now);
        let outcome = draft.add(&kept.event);
        if outcome.is_err() {
            (draft.after, draft.changes) = before;
        }
        outcomes.insert(&kept.id, outcome);
    }
    draft.now = now;
    let told = |kept: &KeptEvent| outcomes.get(kept.id.as_str()).cloned().unwrap_or(Ok(()));
    let outcomes = events.iter().map(told).collect();
    (draft.finish(), outcomes)
}

/// What changes for `learner` when a module is begun, as by starting its quiz.
pub fn begin(learner: &Learner, catalog: &Catalog, module: &Module, now: Timestamp) -> Changes {
    let mut draft = Draft::new(learner, catalog, now);
    draft.begin(&module.slug);
    draft.finish()
}

/// What changes for `learner` when a task of a module has an outcome.
pub fn perform(
    learner: &Learner,
    catalog: &Catalog,
    module: &Module,
    task: &Task,
    outcome: &TaskOutcome,
    now: Timestamp,
) -> Changes {
    let mut draft = Draft::new(learner, catalog, now);
    draft.perform(module, task, outcome);
    draft.finish()
}

impl<'draft> Draft<'draft> {
    fn new(learner: &Learner, catalog: &'draft Catalog, now: Timestamp) -> Self {
        let (after, changes) = (learner.clone(), Changes::default());
        Self { after, changes, catalog, now, heard_at: now, rejoins: true }
    }

    fn finish(mut self) -> Changes {
        self.changes.completions = self.after.missing_completions(self.catalog, self.now);
        self.changes
    }

    fn add(&mut self, event: &LearningEvent) -> Result<(), EventRefusal> {
        match event {
            LearningEvent::Module { action, module, course } => {
                self.add_module(*action, module, course.as_ref())
            }
            LearningEvent::Enrolled { target, source } => {
                let terms = self.terms(target)?;
                self.enroll(target, terms, source.as_deref()).map_err(EventRefusal::NotAdmitted)
            }
            LearningEvent::Completed(target) => self.check_complete(target),
            LearningEvent::Viewed { kind, slug } => {
                let (catalog, kind) = (self.catalog, *kind);
                match kind {
                    PageKind::Pathway if catalog.pathway(slug).is_none() => {
                        return Err(EventRefusal::UnknownPathway);
                    }
                    PageKind::Course if catalog.course(slug).is_none() => {
                        return Err(EventRefusal::UnknownCourse);
                    }
                    PageKind::Module if catalog.module(slug).is_none() => {
                        return Err(EventRefusal::UnknownModule);
                    }
                    PageKind::Pathway | PageKind::Course | PageKind::Module => {}
                }
                // The newest view is the last one, whichever is told first.
                let viewed = PageView { kind, slug: slug.clone(), viewed_at: self.now };
                let is_newer = |last: &PageView| last.viewed_at <= self.now && *last != viewed;
                if self.after.viewed.as_ref().is_none_or(is_newer) {
                    self.after.viewed = Some(viewed.clone());
                    self.changes.viewed = Some(viewed);
                }
                Ok(())
            }
        }
    }

    fn add_module(
        &mut self,
        action: ModuleAction,
        slug: &Slug,
        course: Option<&Slug>,
    ) -> Result<(), EventRefusal> {
        let module = self.catalog.module(slug).ok_or(EventRefusal::UnknownModule)?;
        if let Some(course) = course {
            let course = self.catalog.course(course).ok_or(EventRefusal::UnknownCourse)?;
            if !course.modules.contains(slug) {
                return Err(EventRefusal::NotInCourse);
            }
            let target = Target::course(course.slug.clone());
            // Somebody who left a course stays out until they say otherwise, and terms that do not
            // admit a learner do not keep them from a module, which may be part of other courses.
            if !self.after.enrollments.contains_key(&target) {
                drop(self.enroll(&target, &course.terms, Some(MODULE_EVENT_SOURCE)));
            }
        }
        let required = module.required_tasks().count();
        let progress = self.after.modules.get(slug);
        if action == ModuleAction::Completed && required > 0 {
            let is_done = |task: &&Task| progress.is_some_and(|p| p.is_done(&task.slug));
            let done = module.required_tasks().filter(is_done).count();
            if done < required && progress.is_none_or(|p| p.completion.is_none()) {
                return Err(EventRefusal::TasksMissing { done, required });
            }
        }
        self.begin(slug);
        if action == ModuleAction::Completed {
            self.complete(module);
        }
        Ok(())
    }

    fn terms(&self, target: &Target) -> Result<&'draft Terms, EventRefusal> {
        match target.kind {
            TargetKind::Course => {
                let course = self.catalog.course(&target.slug);
                course.map(|course| &course.terms).ok_or(EventRefusal::UnknownCourse)
            }
            TargetKind::Pathway => {
                let pathway = self.catalog.pathway(&target.slug);
                pathway.map(|pathway| &pathway.terms).ok_or(EventRefusal::UnknownPathway)
            }
        }
    }

    /// Enrols, if the terms allow it. Places are counted by the route that enrols alone.
    fn enroll(
        &mut self,
        target: &Target,
        terms: &Terms,
        source: Option<&str>,
    ) -> Result<(), String> {
        let existing = self.after.enrollments.get(target);
        if existing.is_some_and(|existing| existing.is_active() || !self.rejoins) {
            return Ok(());
        }
        if terms.capacity.is_some() {
            return Err("its places are limited".to_owned());
        }
        admit(terms, self.catalog, &self.after, self.heard_at)
            .map_err(|refusal| refusal.to_string())?;
        if let Some(new) = enroll(existing, target, terms, source, self.now) {
            self.after.enrollments.insert(target.clone(), new.clone());
            self.changes.enrollments.retain(|earlier| earlier.target != new.target);
            self.changes.enrollments.push(new);
        }
        Ok(())
    }

    fn check_complete(&self, target: &Target) -> Result<(), EventRefusal> {
        self.terms(target)?;
        let (status, done, required) = self.after.target_status(self.catalog, target);
        if status == Status::Complete {
            return Ok(());
        }
        Err(EventRefusal::NotComplete { done, required })
    }

    fn begin(&mut self, module: &Slug) {
        if !self.after.modules.contains_key(module) {
            self.store(ModuleProgress::begun(module.clone(), self.now));
        }
    }

    fn perform(&mut self, module: &Module, task: &Task, outcome: &TaskOutcome) {
        self.begin(&module.slug);
        let Some(mut progress) = self.after.modules.get(&module.slug).cloned() else {
            return;
        };
        let before = progress.tasks.get(&task.slug);
        progress.tasks.insert(task.slug.clone(), after(before, outcome, self.now));
        self.store(progress);
        self.complete(module);
    }

    /// Records that a module is complete, if it is and that is not recorded yet.
    fn complete(&mut self, module: &Module) {
        let Some(progress) = self.after.modules.get(&module.slug) else {
            return;
        };
        let tasks: Vec<Slug> = module.required_tasks().map(|task| task.slug.clone()).collect();
        if progress.completion.is_some() || !tasks.iter().all(|task| progress.is_done(task)) {
            return;
        }
        let version = self.catalog.version().clone();
        // Nothing is complete before the last of what completes it was done.
        let done = tasks.iter().filter_map(|task| progress.tasks.get(task)?.done_at);
        let completed_at = done.fold(self.now, Timestamp::max);
        let completion = Some(ModuleCompletion { completed_at, version, tasks });
        self.store(ModuleProgress { completion, ..progress.clone() });
    }

    fn store(&mut self, progress: ModuleProgress) {
        self.changes.modules.retain(|earlier| earlier.module != progress.module);
        self.changes.modules.push(progress.clone());
        self.after.modules.insert(progress.module.clone(), progress);
    }
}

/// A task's record after an outcome. The best outcome counts.
fn after(before: Option<&TaskRecord>, outcome: &TaskOutcome, now: Timestamp) -> TaskRecord {
    let before = before.cloned();
    let mut record = before.unwrap_or(TaskRecord {
        attempts: 0,
        best_score: None,
        done_at: None,
        last_at: now,
        failed_at: None,
        evidence_url: None,
        grading: None,
        review: None,
    });
    match outcome {
        TaskOutcome::Graded { score, passed } => {
            record.attempts = record.attempts.saturating_add(1);
            record.best_score = record.best_score.max(Some(*score));
            record.last_at = now;
            if *passed {
                record.done_at = record.done_at.or(Some(now));
            } else {
                record.failed_at = Some(now);
            }
        }
        // Attesting twice is attesting once.
        TaskOutcome::Attested(_) if record.done_at.is_some() => {}
        TaskOutcome::Attested(evidence) => {
            record.attempts = 1;
            record.done_at = Some(now);
            record.last_at = now;
            record.evidence_url.clone_from(evidence);
        }
        TaskOutcome::Judged(grading) => {
            record.best_score = record.best_score.max(grading.score);
            if grading.passed {
                record.done_at = record.done_at.or(Some(now));
            }
            record.grading = Some(grading.clone());
        }
        // What is done or asked about stays as it is; what was refused may be attested again.
        TaskOutcome::Claimed(_) if record.done_at.is_some() || record.is_asked_about(now) => {}
        TaskOutcome::Claimed(evidence) => {
            record.attempts = record.attempts.saturating_add(1);
            record.last_at = now;
            record.evidence_url.clone_from(evidence);
            record.review = Some(Review::Pending(now));
        }
        TaskOutcome::Reviewed { since, accepted } => {
            if record.review == Some(Review::Pending(*since)) {
                record.review = (!accepted).then_some(Review::Refused(now));
                if *accepted {
                    record.done_at = record.done_at.or(Some(now));
                }
            }
        }
    }
    // What counts needs nobody's word any more.
    if record.done_at.is_some() {
        record.review = None;
    }
    record
}

impl Module {
    /// The tasks that complete it.
    pub fn required_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.required)
    }

    /// Whether it has tasks that complete it. A module without is in no denominator.
    pub fn is_counted(&self) -> bool {
        self.required_tasks().next().is_some()
    }
}

impl Course {
    /// Whether the course is complete only with this module of its own.
    pub fn counts(&self, module: &Module) -> bool {
        module.is_counted() && !self.optional.contains(&module.slug)
    }
}

impl Task {
    /// A lab that is required and needs no evidence.
    pub fn lab(slug: Slug) -> Self {
        let terms = LabTerms { evidence_required: false, validated: false };
        let kind = TaskKind::Lab(terms);
        Self { title: slug.to_string(), slug, required: true, kind }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Pathway;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn slugs(names: &[&str]) -> Vec<Slug> {
        names.iter().map(|name| slug(name)).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn module(name: &str, tasks: &[&str]) -> Module {
        Module::new(slug(name), name, tasks.iter().map(|task| Task::lab(slug(task))).collect())
    }

    /// `one` and `two` share `b`; `read` has no tasks; `c` is optional in `two`.
    fn catalog() -> Catalog {
        let modules = vec![
            module("a", &["x", "y"]),
            module("b", &["x"]),
            module("c", &["x"]),
            module("d", &["x"]),
            module("read", &[]),
        ];
        let one = Course::new(slug("one"), "one", slugs(&["a", "b", "read"]));
        let mut two = Course::new(slug("two"), "two", slugs(&["b", "c", "d"]));
        two.optional.insert(slug("c"));
        let words = Course::new(slug("words"), "words", slugs(&["read"]));
        let path = Pathway::new(slug("path"), "path", slugs(&["one", "two", "words"]));
        Catalog::new(vec![path], vec![one, two, words], modules).unwrap()
    }

    fn apply(learner: &mut Learner, changes: Changes) {
        learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
        learner.enrollments.extend(changes.enrollments.into_iter().map(|e| (e.target.clone(), e)));
        learner.completions.extend(changes.completions.into_iter().map(|c| (c.target.clone(), c)));
        learner.viewed = changes.viewed.or(learner.viewed.take());
    }

    fn attest(learner: &mut Learner, catalog: &Catalog, module: &str, task: &str, now: Timestamp) {
        let module = catalog.module(&slug(module)).unwrap();
        let task = module.task(&slug(task)).unwrap();
        let changes = perform(learner, catalog, module, task, &TaskOutcome::Attested(None), now);
        apply(learner, changes);
    }

    fn event(action: ModuleAction, module: &str, course: Option<&str>) -> LearningEvent {
        LearningEvent::module(action, slug(module), course.map(slug))
    }

    #[test]
    fn c_01_every_required_task_completes_course_and_pathway_once_without_optional_ones() {
        let catalog = catalog();
        let mut learner = Learner::default();
        for (second, module, task) in [(1, "a", "x"), (2, "a", "y"), (3, "b", "x"), (4, "d", "x")] {
            attest(&mut learner, &catalog, module, task, at(second));
        }
        let completed = |target: Target| learner.completions.get(&target).map(|c| c.completed_at);
        assert_eq!(completed(Target::course(slug("one"))), Some(at(3)));
        assert_eq!(completed(Target::course(slug("two"))), Some(at(4)));
        assert_eq!(completed(Target::course(slug("words"))), None);
        assert_eq!(completed(Target::pathway(slug("path"))), Some(at(4)));
        let evidence = learner.modules[&slug("a")].completion.clone().unwrap();
        assert_eq!((evidence.completed_at, evidence.tasks), (at(2), slugs(&["x", "y"])));
        let again = [event(ModuleAction::Completed, "a", None)];
        assert!(record(&learner, &catalog, &again, at(9)).unwrap().is_empty());
    }

    #[test]
    fn d_02_events_that_cannot_be_stored_are_refused_by_position() {
        let good = event(ModuleAction::Started, "a", Some("one"));
        let enrolled = |target: Target| LearningEvent::Enrolled { target, source: None };
        let viewed = |kind: PageKind| LearningEvent::Viewed { kind, slug: slug("x") };
        for (bad, refusal) in [
            (event(ModuleAction::Started, "x", None), EventRefusal::UnknownModule),
            (event(ModuleAction::Started, "a", Some("x")), EventRefusal::UnknownCourse),
            (event(ModuleAction::Started, "a", Some("two")), EventRefusal::NotInCourse),
            (
                event(ModuleAction::Completed, "a", None),
                EventRefusal::TasksMissing { done: 0, required: 2 },
            ),
            (enrolled(Target::course(slug("x"))), EventRefusal::UnknownCourse),
            (enrolled(Target::pathway(slug("x"))), EventRefusal::UnknownPathway),
            (
                LearningEvent::Completed(Target::course(slug("one"))),
                EventRefusal::NotComplete { done: 0, required: 2 },
            ),
            (viewed(PageKind::Pathway), EventRefusal::UnknownPathway),
            (viewed(PageKind::Course), EventRefusal::UnknownCourse),
            (viewed(PageKind::Module), EventRefusal::UnknownModule),
        ] {
            let refused = record(&Learner::default(), &catalog(), &[good.clone(), bad], at(1));
            assert_eq!(refused, Err((1, refusal)));
        }
    }

    #[test]
    fn d_03_no_change_of_the_catalogue_takes_back_a_completion() {
        let catalog = catalog();
        let mut learner = Learner::default();
        for (module, task) in [("a", "x"), ("a", "y"), ("b", "x"), ("d", "x")] {
            attest(&mut learner, &catalog, module, task, at(1));
        }
        let modules =
            vec![module("a", &["x", "y", "z"]), module("b", &["new"]), module("e", &["x"])];
        let one = Course::new(slug("one"), "one", slugs(&["a", "b", "e"]));
        let path = Pathway::new(slug("path"), "path", slugs(&["one"]));
        let grown = Catalog::new(vec![path], vec![one], modules).unwrap();
        for name in ["a", "b"] {
            let module = grown.module(&slug(name)).unwrap();
            assert_eq!(learner.module_status(module), Status::Complete, "{name}");
        }
        for target in [Target::course(slug("one")), Target::pathway(slug("path"))] {
            assert_eq!(learner.target_status(&grown, &target).0, Status::Complete, "{target}");
        }
        let course = learner.course_status(&grown, grown.course(&slug("one")).unwrap());
        assert_eq!((course.modules_completed, course.modules_total), (2, 3));
        assert_eq!(learner.missing_completions(&grown, at(2)), []);
    }

    #[test]
    fn d_09_a_retake_that_fails_takes_nothing_back() {
        let catalog = catalog();
        let module = catalog.module(&slug("b")).unwrap();
        let task = module.task(&slug("x")).unwrap();
        let mut learner = Learner::default();
        for (second, score, passed) in
            [(1, 40, false), (2, 90, true), (3, 10, false), (4, 95, true)]
        {
            let outcome = TaskOutcome::Graded { score, passed };
            let changes = perform(&learner, &catalog, module, task, &outcome, at(second));
            apply(&mut learner, changes);
        }
        let record = &learner.modules[&slug("b")].tasks[&slug("x")];
        assert_eq!(
            (record.attempts, record.best_score, record.done_at),
            (4, Some(95), Some(at(2)))
        );
        assert_eq!((record.failed_at, record.last_at), (Some(at(3)), at(4)));
        assert_eq!(learner.module_status(module), Status::Complete);
    }

    #[test]
    fn a_validated_lab_is_done_when_what_is_pending_is_accepted() {
        let catalog = catalog();
        let module = catalog.module(&slug("b")).unwrap();
        let task = module.task(&slug("x")).unwrap();
        let mut learner = Learner::default();
        let mut act = |outcome: TaskOutcome, second: i64| {
            let changes = perform(&learner, &catalog, module, task, &outcome, at(second));
            apply(&mut learner, changes);
            let progress = &learner.modules[&slug("b")];
            (progress.tasks[&slug("x")].clone(), progress.completion.is_some())
        };
        let claimed = |evidence: &str| TaskOutcome::Claimed(Some(evidence.to_owned()));
        let reviewed =
            |second: i64, accepted| TaskOutcome::Reviewed { since: at(second), accepted };
        let (record, complete) = act(claimed("one"), 1);
        assert_eq!((record.review, complete), (Some(Review::Pending(at(1))), false));
        let (record, _) = act(claimed("two"), 2);
        assert_eq!(record.evidence_url.as_deref(), Some("one"), "what is pending stays");
        let (record, complete) = act(reviewed(1, false), 3);
        assert_eq!((record.review, complete), (Some(Review::Refused(at(3))), false));
        let (record, _) = act(reviewed(1, true), 4);
        assert_eq!(record.done_at, None, "the word came twice, and the second time differs");
        let (record, _) = act(claimed("three"), 5);
        assert_eq!((record.attempts, record.review), (2, Some(Review::Pending(at(5)))));
        let (record, complete) = act(reviewed(1, true), 6);
        assert_eq!((record.done_at, complete), (None, false), "of what was attested before");
        let (record, complete) = act(reviewed(5, true), 7);
        assert_eq!((record.done_at, record.review, complete), (Some(at(7)), None, true));
        let (record, _) = act(claimed("four"), 8);
        assert_eq!(record.evidence_url.as_deref(), Some("three"));
    }

    #[test]
    fn nobody_is_asked_about_a_lab_that_counts_and_a_validator_that_is_gone_is_asked_again() {
        let catalog = catalog();
        let module = catalog.module(&slug("b")).unwrap();
        let task = module.task(&slug("x")).unwrap();
        let mut learner = Learner::default();
        let mut act = |outcome: TaskOutcome, second: i64| {
            let changes = perform(&learner, &catalog, module, task, &outcome, at(second));
            apply(&mut learner, changes);
            learner.modules[&slug("b")].tasks[&slug("x")].clone()
        };
        let claimed = || TaskOutcome::Claimed(None);
        assert_eq!(act(claimed(), 1).review, Some(Review::Pending(at(1))));
        let last = REVIEW_SECONDS_MAX;
        assert_eq!(act(claimed(), last).review, Some(Review::Pending(at(1))));
        let renewed = act(claimed(), last + 1);
        assert_eq!(renewed.review, Some(Review::Pending(at(last + 1))));
        let by = crate::id::UserId::new(at(0), &crate::random::SeededRandom::new(1));
        let grading = Grading {
            score: None,
            passed: true,
            reason: "Shown to me.".to_owned(),
            by,
            at: at(last + 2),
        };
        let judged = act(TaskOutcome::Judged(grading), last + 2);
        assert_eq!((judged.done_at, judged.review), (Some(at(last + 2)), None));
    }

    #[test]
    fn nothing_is_complete_before_what_completes_it() {
        let day = 24 * 60 * 60;
        let both = catalog();
        let mut learner = Learner::default();
        attest(&mut learner, &both, "a", "y", at(100 * day));
        // The catalogue asks for less since, and a browser says that it was complete long ago.
        let module = Module::new(slug("a"), "a", vec![Task::lab(slug("y"))]);
        let fewer = Catalog::new(Vec::new(), Vec::new(), vec![module]).unwrap();
        let claim = KeptEvent {
            id: "old".to_owned(),
            at: at(50 * day),
            event: event(ModuleAction::Completed, "a", None),
        };
        let (changes, _) = record_kept(&learner, &fewer, &[claim], at(101 * day));
        apply(&mut learner, changes);
        let completion = learner.modules[&slug("a")].completion.clone().unwrap();
        assert_eq!(completion.completed_at, at(100 * day));
    }

    #[test]
    fn d_11_a_lab_takes_no_score_away() {
        let catalog = catalog();
        let module = catalog.module(&slug("a")).unwrap();
        let mut learner = Learner::default();
        let quiz = TaskOutcome::Graded { score: 90, passed: true };
        let changes = perform(&learner, &catalog, module, &module.tasks[0], &quiz, at(1));
        apply(&mut learner, changes);
        attest(&mut learner, &catalog, "a", "y", at(2));
        let progress = &learner.modules[&slug("a")];
        assert_eq!(progress.tasks[&slug("x")].best_score, Some(90));
        assert!(progress.completion.is_some());
    }

    #[test]
    fn d_04_the_first_time_of_everything_wins() {
        let catalog = catalog();
        let mut learner = Learner::default();
        let target = Target::course(slug("one"));
        let enrolled = |source: &str| LearningEvent::Enrolled {
            target: target.clone(),
            source: Some(source.to_owned()),
        };
        let viewed = LearningEvent::Viewed { kind: PageKind::Module, slug: slug("read") };
        for second in [1, 2, 3] {
            let source = format!("page-{second}");
            let read = event(ModuleAction::Completed, "read", Some("one"));
            let events = [enrolled(&source), read, viewed.clone()];
            let changes = record(&learner, &catalog, &events, at(second)).unwrap();
            apply(&mut learner, changes);
            attest(&mut learner, &catalog, "b", "x", at(second));
        }
        let enrollment = &learner.enrollments[&target];
        assert_eq!((enrollment.enrolled_at, enrollment.source.as_deref()), (at(1), Some("page-1")));
        let read = &learner.modules[&slug("read")];
        assert_eq!(
            (read.started_at, read.completion.as_ref().unwrap().completed_at),
            (at(1), at(1))
        );
        assert_eq!(learner.modules[&slug("b")].tasks[&slug("x")].done_at, Some(at(1)));
        assert_eq!(learner.viewed.as_ref().unwrap().viewed_at, at(3));
    }

    #[test]
    fn terms_decide_who_may_enrol_by_an_event() {
        let mut closed = Course::new(slug("closed"), "closed", slugs(&["a"]));
        closed.terms.prerequisites = slugs(&["one"]);
        let mut small = Course::new(slug("small"), "small", slugs(&["a"]));
        small.terms.capacity = Some(3);
        let one = Course::new(slug("one"), "one", slugs(&["b"]));
        let modules = vec![module("a", &["x"]), module("b", &["x"])];
        let catalog = Catalog::new(Vec::new(), vec![one, closed, small], modules).unwrap();
        let mut learner = Learner::default();
        for name in ["closed", "small"] {
            let target = Target::course(slug(name));
            let events = [LearningEvent::Enrolled { target: target.clone(), source: None }];
            let refused = record(&learner, &catalog, &events, at(1)).unwrap_err();
            assert!(matches!(refused, (0, EventRefusal::NotAdmitted(_))), "{refused:?}");
            // Learning goes on all the same.
            let events = [event(ModuleAction::Started, "a", Some(name))];
            let changes = record(&learner, &catalog, &events, at(1)).unwrap();
            assert_eq!((changes.enrollments.len(), changes.modules.len()), (0, 1));
        }
        attest(&mut learner, &catalog, "b", "x", at(1));
        let target = Target::course(slug("closed"));
        let events = [LearningEvent::Enrolled { target, source: None }];
        assert_eq!(record(&learner, &catalog, &events, at(2)).unwrap().enrollments.len(), 1);
    }

    #[test]
    fn what_was_done_before_signing_in_counts_once_and_overrides_nothing() {
        let catalog = catalog();
        let day = 24 * 60 * 60;
        let now = at(1_000 * day);
        let kept = |id: &str, second: i64, event: LearningEvent| KeptEvent {
            id: id.to_owned(),
            at: at(second),
            event,
        };
        let course = Target::course(slug("one"));
        let joined = LearningEvent::Enrolled { target: course.clone(), source: None };
        let view = |name: &str| LearningEvent::Viewed { kind: PageKind::Module, slug: slug(name) };
        let events = [
            kept("late", 2_000 * day, event(ModuleAction::Started, "b", None)),
            kept("old", day, event(ModuleAction::Completed, "read", None)),
            kept("joined", 990 * day, joined),
            kept("gone", 990 * day, event(ModuleAction::Started, "nowhere", None)),
            kept("undone", 991 * day, event(ModuleAction::Completed, "a", Some("one"))),
            kept("viewed", 995 * day, view("a")),
            kept("viewed-before", 994 * day, view("b")),
            kept("old", 999 * day, event(ModuleAction::Started, "d", None)),
        ];
        let mut learner = Learner::default();
        let (changes, outcomes) = record_kept(&learner, &catalog, &events, now);
        let refused: Vec<&str> = events
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_err())
            .map(|(event, _)| event.id.as_str())
            .collect();
        assert_eq!(refused, ["gone", "undone"]);
        apply(&mut learner, changes);
        assert_eq!(learner.modules.keys().cloned().collect::<Vec<_>>(), slugs(&["b", "read"]));
        assert_eq!(learner.modules[&slug("b")].started_at, now, "nothing is of the future");
        let read = learner.modules[&slug("read")].clone();
        assert_eq!(read.started_at, at((1_000 - 90) * day), "and nothing too old");
        assert_eq!(learner.enrollments[&course].enrolled_at, at(990 * day));
        assert_eq!(learner.viewed.as_ref().map(|viewed| viewed.slug.clone()), Some(slug("a")));
        let (again, _) = record_kept(&learner, &catalog, &events, at(1_001 * day));
        assert_eq!(again.len(), 0, "{again:?}");
        // Whether somebody may join is decided as of now, whatever the time a browser tells.
        let mut closed = catalog.course(&slug("one")).unwrap().clone();
        closed.terms.closes_at = Some(at(995 * day));
        let (modules, pathways) = (catalog.modules().cloned(), catalog.pathways().cloned());
        let others = catalog.courses().filter(|other| other.slug != closed.slug).cloned();
        let courses = others.chain([closed.clone()]).collect();
        let late = Catalog::new(pathways.collect(), courses, modules.collect()).unwrap();
        let (changes, outcomes) = record_kept(&Learner::default(), &late, &events[2..3], now);
        assert_eq!((changes.enrollments.len(), outcomes[0].is_err()), (0, true));
        // Who has left since stays out.
        let left = crate::enrollment::withdraw(learner.enrollments.get(&course), now);
        learner.enrollments.insert(course, left.unwrap().unwrap());
        let (again, _) = record_kept(&learner, &catalog, &events, at(1_001 * day));
        assert_eq!(again.enrollments, []);
    }

    /// What a learner is said to have done, in the words of the reference model.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Deed {
        Start(&'static str),
        Read,
        Attest(&'static str, &'static str),
        Fail(&'static str, &'static str),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let task =
            prop::sample::select(vec![("a", "x"), ("a", "y"), ("b", "x"), ("c", "x"), ("d", "x")]);
        let one = prop_oneof![
            prop::sample::select(vec!["a", "b", "c", "d", "read"]).prop_map(Deed::Start),
            Just(Deed::Read),
            task.clone().prop_map(|(module, task)| Deed::Attest(module, task)),
            task.prop_map(|(module, task)| Deed::Fail(module, task)),
        ];
        prop::collection::vec(one, 0..14)
    }

    fn act(learner: &mut Learner, catalog: &Catalog, deed: Deed) {
        let outcome = match deed {
            Deed::Start(module) => {
                let events = [event(ModuleAction::Started, module, None)];
                let changes = record(learner, catalog, &events, at(1)).unwrap();
                return apply(learner, changes);
            }
            Deed::Read => {
                let events = [event(ModuleAction::Completed, "read", None)];
                let changes = record(learner, catalog, &events, at(1)).unwrap();
                return apply(learner, changes);
            }
            Deed::Attest(..) => TaskOutcome::Graded { score: 80, passed: true },
            Deed::Fail(..) => TaskOutcome::Graded { score: 20, passed: false },
        };
        if let Deed::Attest(module, task) | Deed::Fail(module, task) = deed {
            let module = catalog.module(&slug(module)).unwrap();
            let Some(task) = module.task(&slug(task)) else { return };
            let changes = perform(learner, catalog, module, task, &outcome, at(1));
            apply(learner, changes);
        }
    }

    /// The reference model: sets of names, nothing else.
    fn expected(deeds: &[Deed]) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let passed = |module, task| deeds.contains(&Deed::Attest(module, task));
        let mut modules = BTreeSet::new();
        for (module, tasks) in
            [("a", vec!["x", "y"]), ("b", vec!["x"]), ("c", vec!["x"]), ("d", vec!["x"])]
        {
            if tasks.into_iter().all(|task| passed(module, task)) {
                modules.insert(module);
            }
        }
        let mut targets = BTreeSet::new();
        for (target, needed) in
            [("one", vec!["a", "b"]), ("two", vec!["b", "d"]), ("path", vec!["a", "b", "d"])]
        {
            if needed.into_iter().all(|module| modules.contains(module)) {
                targets.insert(target);
            }
        }
        if deeds.contains(&Deed::Read) {
            modules.insert("read");
        }
        (modules, targets)
    }

    fn facts(learner: &Learner) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let complete = learner.modules.values().filter(|module| module.completion.is_some());
        let modules = complete.map(|module| module.module.as_str()).collect();
        (modules, learner.completions.keys().map(|target| target.slug.as_str()).collect())
    }

    proptest! {
        #[test]
        fn any_order_of_the_same_deeds_leads_to_the_facts_of_the_model(
            deeds in deeds(),
            shuffled in any::<prop::sample::Index>(),
        ) {
            let catalog = catalog();
            let (mut given, mut other) = (Learner::default(), Learner::default());
            let mut order = deeds.clone();
            if !order.is_empty() {
                let by = shuffled.index(order.len());
                order.rotate_left(by);
                order.reverse();
            }
            for deed in &deeds {
                act(&mut given, &catalog, *deed);
            }
            for deed in &order {
                act(&mut other, &catalog, *deed);
            }
            prop_assert_eq!(facts(&given), expected(&deeds));
            prop_assert_eq!(&given, &other);
        }

        #[test]
        fn repeated_deeds_change_no_fact(deeds in deeds()) {
            let catalog = catalog();
            let mut once = Learner::default();
            for deed in &deeds {
                act(&mut once, &catalog, *deed);
            }
            let mut twice = once.clone();
            for deed in &deeds {
                act(&mut twice, &catalog, *deed);
            }
            prop_assert_eq!(facts(&once), facts(&twice));
        }

        #[test]
        fn d_03_facts_only_grow_while_the_catalogue_changes(
            deeds in deeds(),
            dropped in prop::collection::vec(any::<bool>(), 14),
        ) {
            let whole = catalog();
            let modules: Vec<Module> = whole.modules().map(|module| {
                let mut changed = module.clone();
                changed.tasks.truncate(1);
                changed
            }).collect();
            let courses = whole.courses().cloned().collect();
            let smaller = Catalog::new(Vec::new(), courses, modules).unwrap();
            let mut learner = Learner::default();
            for (deed, dropped) in deeds.iter().zip(dropped) {
                let before = learner.clone();
                act(&mut learner, if dropped { &smaller } else { &whole }, *deed);
                let (had, has) = (facts(&before), facts(&learner));
                prop_assert!(had.0.is_subset(&has.0) && had.1.is_subset(&has.1));
                for catalog in [&smaller, &whole] {
                    for target in learner.completions.keys() {
                        let known = catalog.course(&target.slug).is_some()
                            || catalog.pathway(&target.slug).is_some();
                        let status = learner.target_status(catalog, target).0;
                        prop_assert!(!known || status == Status::Complete);
                    }
                }
            }
        }

        #[test]
        fn c_02_reads_and_awards_never_differ(deeds in deeds()) {
            let catalog = catalog();
            let mut learner = Learner::default();
            for deed in &deeds {
                act(&mut learner, &catalog, *deed);
            }
            let courses = catalog.courses().map(|course| Target::course(course.slug.clone()));
            let pathways = catalog.pathways().map(|path| Target::pathway(path.slug.clone()));
            for target in courses.chain(pathways) {
                let read = learner.target_status(&catalog, &target).0 == Status::Complete;
                prop_assert_eq!(read, learner.completions.contains_key(&target), "{}", target);
            }
        }
    }
}
