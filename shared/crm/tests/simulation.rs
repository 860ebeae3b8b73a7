//! The engine against a simulated world: seeded, with a virtual clock, where every port call may
//! interleave with every other, fail before or after its effect, or be the last thing a crashing
//! function does. A failing seed prints itself and reproduces exactly.

#[cfg(test)]
mod simulation {
    pub(crate) mod crm;
    pub(crate) mod executor;
    pub(crate) mod stores;
    pub(crate) mod world;
}

use rollcall_crm::port::KeyKind;
use simulation::executor::Simulation;
use simulation::world::{Chances, World};

const OPERATIONS: usize = 1_500;

/// How many milestones were told while everything failed.
fn check(seed: u64, key: KeyKind, chances: Chances) -> usize {
    let mut simulation = Simulation::new(World::new(seed, key, chances));
    simulation.run(OPERATIONS);
    let told = simulation.world.told();
    simulation.settle();
    simulation.world.verify();
    told
}

#[test]
fn the_crm_ends_at_the_newest_state_whatever_fails() {
    let told = (0..60).map(|seed| check(seed, KeyKind::UserId, Chances::STORMY));
    let told: usize = told.sum();
    assert!(told > 1_000, "only {told} milestones met the storm");
}

#[test]
fn the_crm_ends_at_the_newest_state_when_contacts_are_found_by_e_mail() {
    for seed in 1000..1030 {
        check(seed, KeyKind::Email, Chances::STORMY);
    }
}

#[test]
fn a_crm_that_refuses_whole_calls_holds_up_nobody_but_the_bad_input() {
    for seed in 2000..2030 {
        check(seed, KeyKind::UserId, Chances { whole_calls: true, ..Chances::STORMY });
    }
}

#[test]
fn without_faults_nothing_ever_waits_for_long() {
    let mut simulation = Simulation::new(World::new(300, KeyKind::UserId, Chances::CALM));
    simulation.run(OPERATIONS);
    let waited = simulation.settle();
    simulation.world.verify();
    assert!(waited <= 10_000, "{waited} ms");
}
