//! Our own state of users, from the tables that hold it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join5;
use rollcall_crm::port::FacetSource;
use rollcall_crm::projection::UserState;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Clock;

use crate::badges::BadgeLister;
use crate::catalog::CatalogReader;
use crate::certificates::CertificateLister;
use crate::learner::LearnerReader;
use crate::users::UserReader;

/// Reads everything about a user that some facet tells the CRM. The catalogue comes from this
/// instance's cache and may be [`crate::catalog::CACHE_SECONDS`] old; everything else is consistent.
#[derive(Clone)]
pub struct UserStates {
    /// Reads the account.
    pub users: UserReader,
    /// Reads what the user learned.
    pub learners: LearnerReader,
    /// Lists badges.
    pub badges: BadgeLister,
    /// Lists certificates.
    pub certificates: CertificateLister,
    /// Reads the published catalogue.
    pub catalog: CatalogReader,
    /// The time, for the cache.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl FacetSource for UserStates {
    async fn load(&self, user: &UserId) -> Result<Option<UserState>, PortError> {
        let loading = try_join5(
            self.users.find(user),
            self.learners.load(user),
            self.badges.all(user),
            self.certificates.all(user),
            self.catalog.load(self.clock.now()),
        );
        let (found, learner, badges, certificates, catalog) = Box::pin(loading).await?;
        let state = |user| UserState { user, learner, badges, certificates, catalog };
        Ok(found.map(state))
    }
}
