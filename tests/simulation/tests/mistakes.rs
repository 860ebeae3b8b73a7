//! The engine made to break each promise on purpose: the simulation has to notice, every time.
//!
//! Compiled only with `--cfg mistakes`, which no program of ours ever is: `make test-mistakes`.
#![cfg(mistakes)]

use std::panic::catch_unwind;

use rollcall_crm::engine::Mistake;
use rollcall_simulation::{Chances, Scenario};

/// Storms within which a mistake has to be noticed.
const STORMS: u64 = 20;

fn notices(mistake: Mistake, seed: u64) -> bool {
    // Odd storms have a CRM that refuses whole calls.
    let chances = Chances { whole_calls: seed % 2 == 1, ..Chances::STORMY };
    let scenario = Scenario { chances, mistake: Some(mistake), ..Scenario::stormy(seed) };
    catch_unwind(|| scenario.check()).is_err()
}

fn check(mistake: Mistake) {
    let noticed = (0..STORMS).find(|seed| notices(mistake, *seed));
    assert!(noticed.is_some(), "{mistake:?} was not noticed in {STORMS} storms");
}

#[test]
fn every_mistake_is_noticed() {
    for mistake in Mistake::ALL {
        check(mistake);
    }
}

#[test]
fn without_a_mistake_the_same_storms_pass() {
    for seed in 0..STORMS {
        let chances = Chances { whole_calls: seed % 2 == 1, ..Chances::STORMY };
        Scenario { chances, ..Scenario::stormy(seed) }.check();
    }
}
