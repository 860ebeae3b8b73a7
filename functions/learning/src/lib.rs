//! The learning context: the catalogue, enrolments, quizzes, labs, progress, badges and certificates.

use rollcall_runtime::Function;

pub mod attempt_list;
pub mod award;
pub mod badge_give;
pub mod badge_list;
pub mod badge_take_back;
pub mod catalog_get;
pub mod catalog_list;
pub mod catalog_publish;
pub mod certificate_credential;
pub mod certificate_get;
pub mod certificate_image;
pub mod certificate_list;
pub mod certificate_name;
pub mod certificate_pdf;
pub mod certificate_revoke;
mod certificate_sheet;
mod certificate_view;
pub mod course_status;
pub mod credential_issuer;
pub mod credential_status;
pub mod enroll;
pub mod enrollment_list;
mod event;
pub mod event_track;
pub mod grade_override;
pub mod lab_attest;
pub mod lab_validate;
pub mod module_progress;
pub mod pathway_status;
mod problem;
pub mod progress_get;
pub mod progress_import;
pub mod progress_merge;
mod qr;
pub mod quiz_start;
pub mod quiz_submit;
mod recording;
pub mod settings;
mod signing;
mod status;
mod target;
pub mod unenroll;
mod view;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &attempt_list::FUNCTION,
    &award::FUNCTION,
    &badge_give::FUNCTION,
    &badge_list::FUNCTION,
    &badge_take_back::FUNCTION,
    &catalog_get::FUNCTION,
    &catalog_list::FUNCTION,
    &catalog_publish::FUNCTION,
    &certificate_credential::FUNCTION,
    &certificate_get::FUNCTION,
    &certificate_image::FUNCTION,
    &certificate_list::FUNCTION,
    &certificate_name::FUNCTION,
    &certificate_pdf::FUNCTION,
    &certificate_revoke::FUNCTION,
    &course_status::FUNCTION,
    &credential_issuer::FUNCTION,
    &credential_status::FUNCTION,
    &enroll::FUNCTION,
    &enrollment_list::FUNCTION,
    &event_track::FUNCTION,
    &grade_override::FUNCTION,
    &lab_attest::FUNCTION,
    &lab_validate::FUNCTION,
    &module_progress::FUNCTION,
    &pathway_status::FUNCTION,
    &progress_get::FUNCTION,
    &progress_import::FUNCTION,
    &progress_merge::FUNCTION,
    &quiz_start::FUNCTION,
    &quiz_submit::FUNCTION,
    &unenroll::FUNCTION,
];
