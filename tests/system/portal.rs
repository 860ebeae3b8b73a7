//! The ways in which a stage may speak to HubSpot, for tests that must hold in each of them.

use rollcall_cli::sample;
use rollcall_functions_crm::settings as crm;
use rollcall_local::Options;
use rollcall_tests::World;

use crate::PROGRAM;

/// A path family, and how milestones are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portal {
    /// Dated paths and custom events, as in every stage.
    DatedWithEvents,
    /// Undated paths and custom events.
    UndatedWithEvents,
    /// Undated paths, and nothing but properties.
    UndatedByProperties,
}

impl Portal {
    /// Sets up a local cloud like this.
    pub(crate) fn set(self, options: &mut Options) {
        let (api, milestones) = match self {
            Self::DatedWithEvents => ("2026-09", "events"),
            Self::UndatedWithEvents => ("v3", "events"),
            Self::UndatedByProperties => ("v3", "properties"),
        };
        sample::set(options, &crm::HUBSPOT_API, api);
        sample::set(options, &crm::HUBSPOT_MILESTONES, milestones);
    }

    /// A private local cloud like this, with the sample data.
    pub(crate) async fn world(self) -> World {
        World::start_with(PROGRAM, Vec::new(), |options| self.set(options)).await
    }
}

/// Makes a test of each function that takes a portal, for each of the portals that are named.
macro_rules! in_every_portal {
    ($first:ident, $second:ident: $($test:ident;)+) => {$(
        mod $test {
            use crate::portal::Portal;

            #[tokio::test(flavor = "multi_thread")]
            async fn one() {
                super::$test(Portal::$first).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn other() {
                super::$test(Portal::$second).await;
            }
        }
    )+};
}

pub(crate) use in_every_portal;
