//! What the routes work with that show how far the caller is in a course, a pathway or a module.

use rollcall_domain::slug::Slug;
use rollcall_edge::{FromRequest, HttpRequest, Problem};
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::LearnerReader;

use crate::target::slug;

pub(crate) struct Ports {
    pub(crate) catalog: CatalogReader,
    pub(crate) learners: LearnerReader,
}

impl Ports {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, learners: startup.capability()? })
    }
}

/// What the path names.
#[derive(Debug)]
pub(crate) struct Input(pub(crate) Slug);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        slug(request).map(Self)
    }
}
