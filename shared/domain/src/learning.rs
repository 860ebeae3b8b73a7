//! Everything one user did in the catalogue, and how far that brought them.
//!
//! There is one rule of completion, and both who reads and who awards ask it here (faults C1 and C2:
//! there were two, with different denominators). Counted in a course are its modules that are not
//! optional and have required tasks; counted in a pathway are its courses that have such modules.
//! What was complete once stays so, whatever becomes of the catalogue (fault D3).

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, Course, Module, Pathway};
use crate::enrollment::{Enrollment, Target, TargetKind};
use crate::progress::{Completion, ModuleProgress, PageView};
use crate::slug::Slug;
use crate::time::Timestamp;

/// Everything one user did in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learner {
    /// Enrolments, left ones too.
    pub enrollments: BTreeMap<Target, Enrollment>,
    /// Progress in modules.
    pub modules: BTreeMap<Slug, ModuleProgress>,
    /// Completed courses and pathways. A completion is never taken back.
    pub completions: BTreeMap<Target, Completion>,
    /// The page viewed last.
    pub viewed: Option<PageView>,
    /// Counts the writes of progress; 0 when there is none.
    pub version: u64,
}

/// How far somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing begun.
    NotStarted,
    /// Something begun.
    InProgress,
    /// Everything done, once; it stays so when the course changes.
    Complete,
    /// There is nothing to do: a module without required tasks that nobody said they have read.
    NoTasks,
}

impl Status {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Complete => "complete",
            Self::NoTasks => "no_tasks",
        }
    }
}

/// How far somebody is in one course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseStatus {
    /// The course as a whole.
    pub status: Status,
    /// Its modules, in order.
    pub modules: Vec<(Slug, Status)>,
    /// How many of the counted ones are complete.
    pub modules_completed: usize,
    /// How many are counted.
    pub modules_total: usize,
}

/// How far somebody is in one pathway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathwayStatus {
    /// The pathway as a whole.
    pub status: Status,
    /// Its courses, in order.
    pub courses: Vec<(Slug, CourseStatus)>,
    /// How many of the counted ones are complete.
    pub courses_completed: usize,
    /// How many are counted.
    pub courses_total: usize,
}

impl Learner {
    /// How far the user is in a module.
    pub fn module_status(&self, module: &Module) -> Status {
        let progress = self.modules.get(&module.slug);
        if progress.is_some_and(|progress| progress.completion.is_some()) {
            return Status::Complete;
        }
        if !module.is_counted() {
            return Status::NoTasks;
        }
        match progress {
            Some(progress) if module.required_tasks().all(|task| progress.is_done(&task.slug)) => {
                Status::Complete
            }
            Some(_) => Status::InProgress,
            None => Status::NotStarted,
        }
    }

    /// How far the user is in a course.
    pub fn course_status(&self, catalog: &Catalog, course: &Course) -> CourseStatus {
        let (mut modules, mut modules_completed, mut modules_total) = (Vec::new(), 0, 0);
        for module in course.modules.iter().filter_map(|slug| catalog.module(slug)) {
            let status = self.module_status(module);
            if course.counts(module) {
                modules_total += 1;
                modules_completed += usize::from(status == Status::Complete);
            }
            modules.push((module.slug.clone(), status));
        }
        let begun = course.modules.iter().any(|slug| self.modules.contains_key(slug));
        let recorded = self.completions.contains_key(&Target::course(course.slug.clone()));
        let status = whole(recorded, modules_completed, modules_total, begun);
        CourseStatus { status, modules, modules_completed, modules_total }
    }

    /// How far the user is in a pathway.
    pub fn pathway_status(&self, catalog: &Catalog, pathway: &Pathway) -> PathwayStatus {
        let (mut courses, mut courses_completed, mut courses_total) = (Vec::new(), 0, 0);
        let mut begun = false;
        for course in pathway.courses.iter().filter_map(|slug| catalog.course(slug)) {
            let status = self.course_status(catalog, course);
            if status.modules_total > 0 {
                courses_total += 1;
                courses_completed += usize::from(status.status == Status::Complete);
            }
            begun = begun || status.status != Status::NotStarted;
            courses.push((course.slug.clone(), status));
        }
        let recorded = self.completions.contains_key(&Target::pathway(pathway.slug.clone()));
        let status = whole(recorded, courses_completed, courses_total, begun);
        PathwayStatus { status, courses, courses_completed, courses_total }
    }

    /// How far the user is in a course or a pathway: its status, and how many of its counted parts
    /// are complete. What the catalogue does not have is not begun.
    pub fn target_status(&self, catalog: &Catalog, target: &Target) -> (Status, usize, usize) {
        let unknown = (Status::NotStarted, 0, 0);
        match target.kind {
            TargetKind::Course => catalog.course(&target.slug).map_or(unknown, |course| {
                let status = self.course_status(catalog, course);
                (status.status, status.modules_completed, status.modules_total)
            }),
            TargetKind::Pathway => catalog.pathway(&target.slug).map_or(unknown, |pathway| {
                let status = self.pathway_status(catalog, pathway);
                (status.status, status.courses_completed, status.courses_total)
            }),
        }
    }

    /// Courses and pathways that are complete and not recorded as such yet.
    pub fn missing_completions(&self, catalog: &Catalog, now: Timestamp) -> Vec<Completion> {
        let mut missing = Vec::new();
        let mut add = |target: Target, modules: Vec<Slug>| {
            if !self.completions.contains_key(&target) {
                let version = catalog.version().clone();
                missing.push(Completion { target, version, modules, completed_at: now });
            }
        };
        for course in catalog.courses() {
            if self.course_status(catalog, course).status == Status::Complete {
                add(Target::course(course.slug.clone()), self.complete_of(catalog, [course]));
            }
        }
        for pathway in catalog.pathways() {
            if self.pathway_status(catalog, pathway).status == Status::Complete {
                let courses = pathway.courses.iter().filter_map(|slug| catalog.course(slug));
                add(Target::pathway(pathway.slug.clone()), self.complete_of(catalog, courses));
            }
        }
        missing
    }

    /// The modules of some courses that count and are complete, each once.
    pub(crate) fn complete_of<'catalog>(
        &self,
        catalog: &'catalog Catalog,
        courses: impl IntoIterator<Item = &'catalog Course>,
    ) -> Vec<Slug> {
        let counted = courses.into_iter().flat_map(|course| {
            let modules = course.modules.iter().filter_map(|slug| catalog.module(slug));
            modules.filter(|module| course.counts(module))
        });
        let complete = counted.filter(|module| self.module_status(module) == Status::Complete);
        let mut seen = BTreeSet::new();
        let each = complete.filter(|module| seen.insert(&module.slug));
        each.map(|module| module.slug.clone()).collect()
    }

    /// How many modules the user has completed, each counted once.
    pub fn modules_completed(&self) -> usize {
        self.modules.values().filter(|progress| progress.completion.is_some()).count()
    }

    /// When the user last learned something.
    pub fn last_learning_at(&self) -> Option<Timestamp> {
        let modules = self.modules.values().map(ModuleProgress::last_at);
        modules.chain(self.enrollments.values().map(|enrollment| enrollment.enrolled_at)).max()
    }
}

/// The status of a whole by its counted parts. A whole without counted parts is never complete.
fn whole(recorded: bool, completed: usize, total: usize, begun: bool) -> Status {
    if recorded || (total > 0 && completed == total) {
        Status::Complete
    } else if begun {
        Status::InProgress
    } else {
        Status::NotStarted
    }
}
