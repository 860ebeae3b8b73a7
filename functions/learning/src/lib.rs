//! The learning context: the catalogue, enrolments and progress.

use rollcall_runtime::Function;

pub mod catalog_get;
pub mod catalog_list;
pub mod course_status;
pub mod enroll;
pub mod enrollment_list;
pub mod event_track;
mod target;
pub mod unenroll;
mod view;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &catalog_get::FUNCTION,
    &catalog_list::FUNCTION,
    &course_status::FUNCTION,
    &enroll::FUNCTION,
    &enrollment_list::FUNCTION,
    &event_track::FUNCTION,
    &unenroll::FUNCTION,
];
