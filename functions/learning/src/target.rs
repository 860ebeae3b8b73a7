//! What a path such as `/enrollments/course/{slug}` names.

use rollcall_domain::catalog::Catalog;
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

/// Whether the catalogue has the target.
pub(crate) fn exists(catalog: &Catalog, target: &Target) -> bool {
    match target.kind {
        TargetKind::Pathway => catalog.pathway(&target.slug).is_some(),
        TargetKind::Course => catalog.course(&target.slug).is_some(),
    }
}
