//! What the simulation meets too rarely to prove: one situation, one run.

use super::*;
use crate::dead_letter::{DeadLetterChange, Status};
use crate::ledger::{Acknowledged, FacetEntry, Refused};
use crate::pending::Dirty;
use crate::projection::hash;
use crate::removal::{Removal, RemovalKind};
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::random::SeededRandom;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn user() -> UserId {
    UserId::new(at(0), &SeededRandom::new(1))
}

fn letter() -> DeadLetterId {
    DeadLetterId::new(at(0), &SeededRandom::new(2))
}

fn projected(facet: Facet) -> Projected {
    let properties = match facet {
        Facet::Identity => BTreeMap::from([(schema::EMAIL, "a@example.org".to_owned())]),
        Facet::Learning => BTreeMap::from([(schema::ENROLLED_COURSES, "one".to_owned())]),
    };
    Projected { hash: hash(&properties), properties, version: 1 }
}

fn acknowledged(hash: &str) -> FacetEntry {
    let acknowledged = Acknowledged { hash: hash.to_owned(), version: 1, at: at(0) };
    FacetEntry { acknowledged: Some(acknowledged), refused: None }
}

/// A known contact whose facets differ from what it holds.
fn known() -> Ledger {
    Ledger {
        contact_id: Some("7".to_owned()),
        facets: Facet::ALL.map(|facet| (facet, acknowledged("old"))).into(),
        removal: None,
        milestones_refused: BTreeMap::new(),
        edits: BTreeMap::new(),
    }
}

fn candidate(ledger: Ledger, forced: bool) -> Candidate {
    let row = |facet| PendingRow {
        dirty: Dirty { user: user(), facet, trace_id: None },
        mark: "mark".to_owned(),
        reason: Reason::Transient,
        attempts: 3,
        first_at: at(0),
        due_at: at(0),
        forced,
    };
    let want = |facet| Want { trace_id: None, row: Some(row(facet)) };
    Candidate {
        work: Work { user: user(), facets: Facet::ALL.map(|facet| (facet, want(facet))).into() },
        lease: Lease { token: "token".to_owned(), until: at(100) },
        ledger,
        abandoned: false,
        state: Facet::ALL.map(|facet| (facet, projected(facet))).into(),
    }
}

fn run(ledger: Ledger, forced: bool) -> Run {
    Run::new(vec![candidate(ledger, forced)], KeyKind::UserId, true)
}

/// Sends what is next and answers it.
fn send(run: &mut Run, now: i64, result: impl Into<Option<ItemResult>>) -> Vec<Facet> {
    let Some(Task::Write(slots)) = run.next_task() else {
        panic!("something to send");
    };
    let inputs = run.ready(slots, at(now), 100);
    let facets = inputs.iter().flat_map(|input| input.facets.clone()).collect();
    let results = result.into().map(|result| (user().to_string(), result)).into_iter().collect();
    run.absorb(inputs, CallOutcome::Answered(results), at(now));
    facets
}

fn item(category: &str, message: &str) -> ItemResult {
    ItemResult::Failed(Failure {
        status: crate::classifier::ITEM,
        category: category.to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    })
}

fn written() -> ItemResult {
    let contact_id = "7".to_owned();
    ItemResult::Written { contact_id }
}

fn settle(run: &mut Run, now: i64) -> Settlement {
    let settling =
        Settling { now: at(now), random: &SeededRandom::new(3), function_version: "test" };
    let mut settlements = run.settle(settling);
    assert_eq!(settlements.len(), 1);
    settlements.remove(0)
}

#[test]
fn a_result_without_a_trace_id_makes_the_ledger_doubt() {
    let mut run = run(known(), false);
    send(&mut run, 1, None);
    let settlement = settle(&mut run, 1);
    let doubted = |facet| settlement.ledger.facet(facet).acknowledged.is_none();
    assert!(Facet::ALL.into_iter().all(doubted));
    assert_eq!(settlement.reschedules.len(), 2);
    assert!(settlement.resolved.is_empty());
}

#[test]
fn a_lost_lease_asks_again_for_everything_that_was_looked_at() {
    let mut run = run(known(), false);
    send(&mut run, 1, written());
    let settlement = settle(&mut run, 1);
    let facets: Vec<Facet> = settlement.if_lost.iter().map(|mark| mark.dirty.facet).collect();
    assert_eq!(facets, Facet::ALL);
}

#[test]
fn an_unknown_outcome_leaves_the_lease_to_run_out_and_removes_no_row() {
    let mut run = run(known(), false);
    let Some(Task::Write(slots)) = run.next_task() else {
        panic!("something to send");
    };
    let inputs = run.ready(slots, at(1), 100);
    run.absorb(inputs, CallOutcome::Unknown, at(11));
    let settlement = settle(&mut run, 11);
    assert_eq!((settlement.confirm, settlement.resolved), (None, Vec::new()));
    assert!(settlement.reschedules.iter().all(|later| later.due_at >= at(100)));
}

#[test]
fn a_bad_learning_property_never_holds_up_identity() {
    let mut run = run(Ledger::default(), false);
    let bad = || item("VALIDATION_ERROR", "no");
    assert_eq!(send(&mut run, 1, bad()), Facet::ALL);
    assert_eq!(send(&mut run, 1, written()), [Facet::Identity]);
    assert_eq!(send(&mut run, 1, bad()), [Facet::Learning]);
    let settlement = settle(&mut run, 1);
    assert!(settlement.ledger.facet(Facet::Identity).acknowledged.is_some());
    assert!(settlement.ledger.facet(Facet::Learning).refused.is_some());
    assert!(matches!(settlement.dead_letters.as_slice(), [DeadLetterChange::Open(_)]));
}

#[test]
fn what_was_refused_is_sent_again_only_when_it_is_replayed() {
    let refused = || {
        let mut ledger = known();
        for facet in Facet::ALL {
            let entry = ledger.facets.entry(facet).or_default();
            let hash = projected(facet).hash;
            entry.refused = Some(Refused { hash, dead_letter: letter() });
        }
        ledger
    };
    assert_eq!(run(refused(), false).next_task(), None);
    let mut replayed = run(refused(), true);
    send(&mut replayed, 1, written());
    let close = DeadLetterChange::Close { id: letter(), status: Status::Resolved, at: at(1) };
    assert_eq!(settle(&mut replayed, 1).dead_letters, [close.clone(), close]);
}

#[test]
fn the_contact_of_another_user_is_not_adopted() {
    for (owner, adopted) in
        [(None, true), (Some(user().to_string()), true), (Some("usr_x".to_owned()), false)]
    {
        let mut run = run(Ledger::default(), false);
        send(&mut run, 1, item("CONFLICT", "Existing ID: 9"));
        let Some(Task::FindOwners(slots)) = run.next_task() else {
            panic!("the owner is not known");
        };
        run.absorb_owners(slots, &BTreeMap::from([("9".to_owned(), owner)]), at(1));
        let Some(Task::Write(slots)) = run.next_task() else {
            assert!(!adopted);
            assert_eq!(settle(&mut run, 1).tally, Tally { pending: 2, ..Tally::default() });
            continue;
        };
        let inputs = run.ready(slots, at(1), 100);
        assert!(adopted);
        assert_eq!(inputs[0].address, Address::ContactId("9".to_owned()));
        assert!(!inputs[0].properties.contains_key(schema::LIFECYCLE_STAGE));
    }
}

#[test]
fn an_address_that_another_contact_has_is_waited_for_a_day_and_holds_up_nothing_else() {
    for (now, waits) in [(1, true), (ROW_AGE_SECONDS_MAX + 1, false)] {
        let mut candidate = candidate(known(), false);
        candidate.lease.until = at(now + 60);
        let mut run = Run::new(vec![candidate], KeyKind::UserId, true);
        send(&mut run, now, item("CONFLICT", "Existing ID: 9"));
        // Each facet alone, the identity first.
        send(&mut run, now, item("CONFLICT", "Existing ID: 9"));
        send(&mut run, now, written());
        let Tally { sent, pending, dead, .. } = settle(&mut run, now).tally;
        assert_eq!((sent, pending, dead), (1, usize::from(waits), usize::from(!waits)));
    }
}

#[test]
fn only_a_day_of_refusals_makes_a_transient_one_a_dead_letter() {
    for (now, dead) in [(ROW_AGE_SECONDS_MAX, 0), (ROW_AGE_SECONDS_MAX + 1, 2)] {
        let mut candidate = candidate(known(), false);
        candidate.lease.until = at(now + 20);
        let mut run = Run::new(vec![candidate], KeyKind::UserId, true);
        send(&mut run, now, item("INTERNAL_ERROR", ""));
        assert_eq!(settle(&mut run, now).tally.dead, dead);
    }
}

#[test]
fn an_address_that_stays_on_anothers_contact_for_a_day_needs_a_person() {
    let now = ROW_AGE_SECONDS_MAX + 1;
    let mut candidate = candidate(Ledger::default(), false);
    candidate.lease.until = at(now + 20);
    let mut run = Run::new(vec![candidate], KeyKind::UserId, true);
    send(&mut run, now, item("CONFLICT", "Existing ID: 9"));
    let Some(Task::FindOwners(slots)) = run.next_task() else {
        panic!("the owner is not known");
    };
    let owners = BTreeMap::from([("9".to_owned(), Some("usr_x".to_owned()))]);
    run.absorb_owners(slots, &owners, at(now));
    assert_eq!(settle(&mut run, now).tally, Tally { dead: 1, blocked: 1, ..Tally::default() });
}

/// A user who has to leave the CRM; the row stands for that.
fn leaver(removal: &Removal, forced: bool) -> Candidate {
    let refused = Refused { hash: "old".to_owned(), dead_letter: letter() };
    let entry = FacetEntry { acknowledged: None, refused: Some(refused) };
    let facets = BTreeMap::from([(Facet::Learning, entry)]);
    let ledger = Ledger { facets, removal: Some(removal.clone()), ..known() };
    Candidate { state: BTreeMap::new(), ..candidate(ledger, forced) }
}

fn settling(random: &SeededRandom) -> Settling<'_> {
    Settling { now: at(10), random, function_version: "1" }
}

#[test]
fn a_refused_removal_waits_at_the_desk_until_somebody_asks_again() {
    let random = SeededRandom::new(3);
    let email = Some("a@example.org".to_owned());
    let removal = Removal::new("wish".to_owned(), RemovalKind::Erase, email, at(0));
    let failure =
        Failure { status: 400, message: "no a@example.org".to_owned(), ..Failure::default() };
    let outcome = Some(RemovalOutcome::Refused(failure));
    assert!(!leaver(&removal, false).is_settled(&removal), "an older refusal does not hold it up");
    let settlement = leaver(&removal, false).removed(&removal, outcome, settling(&random));
    let [DeadLetterChange::Open(opened)] = &settlement.dead_letters[..] else {
        panic!("{settlement:?}");
    };
    assert_eq!((opened.facet, opened.cause.message.as_str()), (Facet::Identity, "no …"));
    assert_eq!(opened.cause.request, BTreeMap::new());
    assert_eq!(settlement.ledger.removal, Some(removal.clone()));

    for (forced, is_settled) in [(false, true), (true, false)] {
        let ledger = settlement.ledger.clone();
        let again = Candidate { ledger, ..leaver(&removal, forced) };
        assert_eq!(again.is_settled(&removal), is_settled);
    }
    let last = Candidate { ledger: settlement.ledger, ..leaver(&removal, true) };
    let settlement = last.removed(&removal, Some(RemovalOutcome::Done), settling(&random));
    let statuses = settlement.dead_letters.iter().map(|change| match change {
        DeadLetterChange::Close { status, .. } => *status,
        other => panic!("{other:?}"),
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [Status::Withdrawn, Status::Withdrawn]);
    let tombstone = Ledger { removal: Some(removal.done(at(10))), ..Ledger::default() };
    assert_eq!(settlement.ledger, tombstone);
    assert_eq!(settlement.marks, []);
}

#[test]
fn a_removal_that_never_succeeds_becomes_a_letter_after_a_day() {
    let random = SeededRandom::new(3);
    let removal = Removal::new("wish".to_owned(), RemovalKind::Archive, None, at(0));
    for (now, letters, later) in [(ROW_AGE_SECONDS_MAX, 0, 1), (ROW_AGE_SECONDS_MAX + 1, 1, 0)] {
        let outcome = RemovalOutcome::Later { reason: Reason::Transient, outage: false };
        let settling = Settling { now: at(now), ..settling(&random) };
        let settlement = leaver(&removal, false).removed(&removal, Some(outcome), settling);
        assert_eq!(settlement.dead_letters.len(), letters);
        assert_eq!(settlement.reschedules.len(), later);
    }
}

#[test]
fn an_answer_to_a_removal_means_what_it_means_to_a_write() {
    let refused = |status| CallOutcome::Refused(Failure { status, ..Failure::default() });
    let later = |reason, outage| RemovalOutcome::Later { reason, outage };
    let postponed = RemovalOutcome::Postponed(Reason::Portal);
    let ill = |reason| Health::Ill { reason, retry_after: None };
    let bad = RemovalOutcome::Refused(Failure { status: 400, ..Failure::default() });
    for (outcome, expected, health) in [
        (CallOutcome::NotSent, postponed.clone(), ill(PauseReason::Outage)),
        (CallOutcome::Unknown, later(Reason::Unknown, true), ill(PauseReason::Outage)),
        (refused(503), later(Reason::Portal, true), ill(PauseReason::Outage)),
        (refused(429), postponed.clone(), ill(PauseReason::RateLimit)),
        (refused(403), postponed.clone(), ill(PauseReason::Permission)),
        (refused(401), postponed, ill(PauseReason::Credentials)),
        (refused(409), later(Reason::Transient, false), Health::Well),
        (refused(400), bad, Health::Well),
    ] {
        let step = RemovalStep::after(&outcome, true);
        assert_eq!(step, RemovalStep::Stop(expected, health), "{outcome:?}");
    }
    assert_eq!(RemovalStep::after(&refused(401), false), RemovalStep::RenewCredentials);
}
