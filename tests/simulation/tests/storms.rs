//! A fixed number of storms in every run of the tests.

use rollcall_crm::port::KeyKind;
use rollcall_simulation::{Chances, Scenario};

#[test]
fn the_crm_ends_at_the_newest_state_whatever_fails() {
    let told: usize = (0..60).map(|seed| Scenario::stormy(seed).check().told).sum();
    assert!(told > 1_000, "only {told} milestones met the storm");
}

#[test]
fn the_crm_ends_at_the_newest_state_when_contacts_are_found_by_e_mail() {
    for seed in 1_000..1_030 {
        Scenario { key: KeyKind::Email, ..Scenario::stormy(seed) }.check();
    }
}

#[test]
fn people_change_merge_archive_and_erase_contacts_and_all_ends_right() {
    for seed in 6_000..6_030 {
        let chances = Chances { people: 4, ..Chances::STORMY };
        Scenario { chances, ..Scenario::stormy(seed) }.check();
        let by_email = Scenario { key: KeyKind::Email, ..Scenario::stormy(seed + 1_000) };
        Scenario { chances, ..by_email }.check();
    }
}

#[test]
fn whoever_reads_messages_ends_at_the_newest_state() {
    for seed in 5_000..5_020 {
        Scenario::stormy(seed).check_feed();
    }
}

#[test]
fn a_crm_that_refuses_whole_calls_holds_up_nobody_but_the_bad_input() {
    for seed in 2_000..2_030 {
        let chances = Chances { whole_calls: true, ..Chances::STORMY };
        Scenario { chances, ..Scenario::stormy(seed) }.check();
    }
}

#[test]
fn many_users_and_hundreds_of_thousands_of_steps_are_one_storm() {
    let passed = Scenario { users: 200, writes: 20_000, ..Scenario::stormy(3_000) }.check();
    assert!(passed.steps > 200_000, "{passed:?}");
}

#[test]
fn a_day_without_the_crm_loses_nothing_and_is_caught_up_with_by_itself() {
    let users = 100;
    let outage = Scenario { users, ..Scenario::stormy(4_000) }.check_outage(24);
    // One row per user and facet, however much was written; and one call at a time asks.
    assert!(outage.writes > 10 * users, "{outage:?}");
    assert!(outage.pending <= 2 * users, "{outage:?}");
    assert!(outage.calls < 4_000, "{outage:?}");
    assert!(outage.settled_after_ms < 3 * 60_000, "{outage:?}");
}

#[test]
fn without_faults_nothing_ever_waits_for_long() {
    // Who comes back into the CRM while something is sent about them waits for that lease to run out.
    for seed in 300..310 {
        let passed = Scenario { chances: Chances::CALM, ..Scenario::stormy(seed) }.check();
        assert!(passed.settled_after_ms <= 25_000, "{passed:?}");
    }
}
