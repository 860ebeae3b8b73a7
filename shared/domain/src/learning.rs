//! Everything one user did in the catalogue, and what follows from it.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, Course};
use crate::enrollment::{Enrollment, Target};
use crate::progress::{Completion, ModuleProgress};
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
}

impl Status {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Complete => "complete",
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
    /// How many of them are complete.
    pub modules_completed: usize,
}

impl Learner {
    /// How far the user is in a module.
    pub fn module_status(&self, module: &Slug) -> Status {
        match self.modules.get(module) {
            None => Status::NotStarted,
            Some(progress) if progress.completed_at.is_some() => Status::Complete,
            Some(_) => Status::InProgress,
        }
    }

    /// How far the user is in a course. Reads and awards both ask here (fault C2: they differed).
    pub fn course_status(&self, course: &Course) -> CourseStatus {
        let modules: Vec<(Slug, Status)> =
            course.modules.iter().map(|slug| (slug.clone(), self.module_status(slug))).collect();
        let modules_completed =
            modules.iter().filter(|(_, status)| *status == Status::Complete).count();
        let recorded = self.completions.contains_key(&Target::course(course.slug.clone()));
        let status = if recorded || (!modules.is_empty() && modules_completed == modules.len()) {
            Status::Complete
        } else if modules.iter().any(|(_, status)| *status != Status::NotStarted) {
            Status::InProgress
        } else {
            Status::NotStarted
        };
        CourseStatus { status, modules, modules_completed }
    }

    /// Courses and pathways that are complete by their modules and not recorded as such yet.
    pub fn missing_completions(&self, catalog: &Catalog, now: Timestamp) -> Vec<Completion> {
        let mut missing = Vec::new();
        let mut complete = |target: Target, modules: Vec<Slug>| {
            if !self.completions.contains_key(&target) {
                missing.push(Completion { target, modules, completed_at: now });
            }
        };
        let is_complete = |course: &Course| self.course_status(course).status == Status::Complete;
        for course in catalog.courses().filter(|course| is_complete(course)) {
            complete(Target::course(course.slug.clone()), course.modules.clone());
        }
        for pathway in catalog.pathways() {
            let courses: Vec<&Course> =
                pathway.courses.iter().filter_map(|slug| catalog.course(slug)).collect();
            if !courses.is_empty() && courses.iter().all(|course| is_complete(course)) {
                let modules = courses.iter().flat_map(|course| course.modules.clone()).collect();
                complete(Target::pathway(pathway.slug.clone()), modules);
            }
        }
        missing
    }

    /// When the user last learned something.
    pub fn last_learning_at(&self) -> Option<Timestamp> {
        let modules = self.modules.values().map(ModuleProgress::last_at);
        modules.chain(self.enrollments.values().map(|enrollment| enrollment.enrolled_at)).max()
    }
}
