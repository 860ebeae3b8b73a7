//! What a path such as `/enrollments/course/{slug}` names.

use rollcall_domain::catalog::{Catalog, QuizName, Terms};
use rollcall_domain::enrollment::{Target, TargetKind};
use rollcall_domain::slug::Slug;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{FromRequest, HttpRequest, Problem};

/// The `kind` and `slug` of a path. What cannot be one is not found, as what does not exist.
#[derive(Debug)]
pub(crate) struct TargetInput(pub(crate) Target);

impl FromRequest for TargetInput {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let kind = request.path_parameter("kind").parse();
        let kind = kind.map_err(|_unknown| Problem::new(&NOT_FOUND))?;
        Ok(Self(Target { kind, slug: slug(request)? }))
    }
}

/// The `slug` of a path.
pub(crate) fn slug(request: &HttpRequest) -> Result<Slug, Problem> {
    request.path_parameter("slug").parse().map_err(|_invalid| Problem::new(&NOT_FOUND))
}

/// A quiz or a lab by its path, such as `/modules/{slug}/quizzes/{quiz}/start`.
#[derive(Debug)]
pub(crate) struct TaskInput(pub(crate) QuizName);

impl FromRequest for TaskInput {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let quiz = match request.path_parameter("quiz") {
            "" => request.path_parameter("task"),
            quiz => quiz,
        };
        let quiz = quiz.parse().map_err(|_invalid| Problem::new(&NOT_FOUND))?;
        Ok(Self(QuizName { module: slug(request)?, quiz }))
    }
}

/// The terms on which one may enrol in the target, if the catalogue has it.
pub(crate) fn terms<'catalog>(
    catalog: &'catalog Catalog,
    target: &Target,
) -> Option<&'catalog Terms> {
    match target.kind {
        TargetKind::Pathway => catalog.pathway(&target.slug).map(|pathway| &pathway.terms),
        TargetKind::Course => catalog.course(&target.slug).map(|course| &course.terms),
    }
}
