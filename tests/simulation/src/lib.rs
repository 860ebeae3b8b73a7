#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate exists for tests, where a broken expectation is a failed test"
)]
//! The sync engine against a simulated world: seeded, with a virtual clock, where every port call may
//! interleave with every other, fail before or after its effect, or be the last thing a crashing
//! function does. A failing seed prints itself and reproduces exactly.
//!
//! ```text
//! make simulate SEEDS=1000          a thousand storms, each of its own seed
//! make simulate SEEDS=1 FROM=417    storm 417 once more
//! ```

mod crm;
mod executor;
mod feed;
mod inbound;
mod people;
mod reconcile;
mod stores;
mod world;

use std::sync::Arc;

#[cfg(mistakes)]
use rollcall_crm::engine::Mistake;
use rollcall_crm::port::KeyKind;
use rollcall_feed::Feed;

use executor::Simulation;
use feed::Reader;
pub use world::Chances;
use world::World;

/// One simulated life of the sync.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// By what the CRM finds contacts.
    pub key: KeyKind,
    /// How often things go wrong.
    pub chances: Chances,
    /// How many users there are at first.
    pub users: usize,
    /// Random writes to our tables.
    pub writes: usize,
    /// What the engine does wrong on purpose.
    #[cfg(mistakes)]
    pub mistake: Option<Mistake>,
}

/// What a scenario that kept every promise went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// Milestones that were told while everything failed.
    pub told: usize,
    /// Calls that reached the CRM.
    pub calls: usize,
    /// Steps that some function took.
    pub steps: usize,
    /// How long it took after the last fault until nothing was left to do, in virtual milliseconds.
    pub settled_after_ms: i64,
}

/// What an outage came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    /// Writes to our tables while the CRM was away.
    pub writes: usize,
    /// Calls made in vain to find out whether it is back.
    pub calls: usize,
    /// Rows that waited at its end.
    pub pending: usize,
    /// Calls that brought everything up to date.
    pub calls_after: usize,
    /// How long that took, in virtual milliseconds.
    pub settled_after_ms: i64,
}

impl Scenario {
    /// A few users under a storm.
    pub const fn stormy(seed: u64) -> Self {
        Self {
            seed,
            key: KeyKind::UserId,
            chances: Chances::STORMY,
            users: 5,
            writes: 1_500,
            #[cfg(mistakes)]
            mistake: None,
        }
    }

    /// The CRM is away for `hours` from the beginning on, under steady writes, and nothing else is
    /// wrong.
    ///
    /// # Panics
    ///
    /// When a promise was broken; the text names it and the seed.
    pub fn check_outage(self, hours: i64) -> Outage {
        let calm = Self { chances: Chances::CALM, ..self };
        let mut simulation = Simulation::new(World::new(calm));
        let outage = simulation.run_through_outage(hours * 3_600_000);
        let settled_after_ms = simulation.settle();
        simulation.world.verify();
        Outage { settled_after_ms, calls_after: simulation.world.calls() - outage.calls, ..outage }
    }

    /// Lives it with another system in place of HubSpot, which gets messages.
    ///
    /// # Panics
    ///
    /// When a promise was broken; the text names it and the seed.
    pub fn check_feed(self) {
        // Whoever reads messages refuses no value.
        let chances = Chances { bad: 0, ..self.chances };
        let world = World::new(Self { chances, ..self });
        let reader = Reader::new(world.clone());
        let feed = Feed::new(reader.clone(), Arc::new(world.clone()));
        let mut simulation = Simulation::over(world, Arc::new(feed));
        simulation.run(self.writes);
        simulation.settle();
        reader.verify();
    }

    /// Lives it: writes under faults, then quiet, then a look at everything.
    ///
    /// # Panics
    ///
    /// When a promise was broken; the text names it and the seed.
    pub fn check(self) -> Passed {
        let simulation = Simulation::new(World::new(self));
        #[cfg(mistakes)]
        let simulation = simulation.mistaken(self.mistake);
        let mut simulation = simulation;
        simulation.run(self.writes);
        let told = simulation.world.told();
        let settled_after_ms = simulation.settle();
        if self.chances.people > 0 {
            simulation.reconcile();
        }
        simulation.world.verify();
        let calls = simulation.world.calls();
        Passed { told, calls, steps: simulation.steps, settled_after_ms }
    }
}
