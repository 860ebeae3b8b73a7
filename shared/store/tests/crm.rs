//! The table `crm` against the local DynamoDB, over HTTP, with the real client. Every capability acts
//! under exactly the permissions that it declares.

#![cfg(test)]

#[path = "crm/desk.rs"]
mod desk;
#[path = "crm/milestones.rs"]
mod milestones;
#[path = "crm/reconcile.rs"]
mod reconcile;
#[path = "crm/removals.rs"]
mod removals;
#[path = "crm/states.rs"]
mod states;
#[path = "crm/streams.rs"]
mod streams;
#[path = "crm/users.rs"]
mod users;
#[path = "crm/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use rollcall_crm::dead_letter::{Cause, DeadLetter, DeadLetterChange, Status};
use rollcall_crm::desk::{About, Filed, Filter};
use rollcall_crm::inbound::Drift;
use rollcall_crm::ledger::{Acknowledged, FacetEntry, Lease, LeaseAttempt, Ledger, Refused};
use rollcall_crm::limits::{DEAD_LETTER_KEPT_SECONDS, DUE_SHARDS};
use rollcall_crm::pacer::{Limit, Pacer};
use rollcall_crm::pending::{Dirty, Mark, PendingRow, Reason, Reschedule};
use rollcall_crm::port::{BudgetStore, Confirmation, LedgerStore, Overseer, PendingStore};
use rollcall_crm::portal::{Budget, EventsAccess, Pause, PauseReason};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::time::{SignedDuration, Timestamp, after};
use rollcall_local_dynamodb::Fault;
use rollcall_resources::Table;
use rollcall_store::crm::{
    ChangeSender, DeadLetterLister, DeadLetterReplayer, InboundKeeper, PendingDrainer,
    PendingMarker, Replay, SyncOverseer,
};
use rollcall_store::{Capability, PortErrorClass};

use world::World;

const NOW: i64 = 1_795_251_600_000;

fn at(offset_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(NOW + offset_ms).unwrap()
}

fn users(number: usize) -> Vec<UserId> {
    let random = SeededRandom::new(7);
    (0..number).map(|_| UserId::new(at(0), &random)).collect()
}

fn user() -> UserId {
    users(1).remove(0)
}

fn lease(token: &str, until_ms: i64) -> Lease {
    Lease { token: token.to_owned(), until: at(until_ms) }
}

fn mark(user: &UserId, facet: Facet, mark: &str, due_ms: i64) -> Mark {
    Mark {
        dirty: Dirty { user: user.clone(), facet, trace_id: Some("trace".to_owned()) },
        mark: mark.to_owned(),
        reason: Reason::Portal,
        attempts: 3,
        now: at(0),
        due_at: at(due_ms),
    }
}

fn letter(number: i64, user: &UserId) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId::new(at(number), &SeededRandom::new(number.unsigned_abs())),
        user: user.clone(),
        facet: Facet::Learning,
        milestone: None,
        cause: Cause {
            request: BTreeMap::from([("firstname".to_owned(), "3 characters".to_owned())]),
            category: "VALIDATION_ERROR".to_owned(),
            message: "is invalid".to_owned(),
            fingerprint: "0123456789abcdef".to_owned(),
        },
        first_seen_at: at(number),
        last_seen_at: at(number),
        tries: 1,
        status: Status::Open,
        function_version: "1".to_owned(),
    }
}

fn refused(letter: &DeadLetter) -> Ledger {
    let refused = Refused { hash: "hash".to_owned(), dead_letter: letter.id.clone() };
    let entry = FacetEntry { acknowledged: None, refused: Some(refused) };
    Ledger { facets: BTreeMap::from([(letter.facet, entry)]), ..Ledger::default() }
}

/// Takes the lease and confirms `changes` under it.
async fn write_letters(
    world: &World,
    user: &UserId,
    ledger: &Ledger,
    changes: &[DeadLetterChange],
) {
    let table = world.table::<ChangeSender>();
    let taken = table.take_lease(user, &lease("writer", 1), at(0)).await.unwrap();
    assert!(matches!(taken, LeaseAttempt::Taken { abandoned: false, .. }));
    let confirmed = table.confirm(user, "writer", ledger, changes).await.unwrap();
    assert_eq!(confirmed, Confirmation::Confirmed);
}

async fn open_letter(world: &World, letter: &DeadLetter) {
    let change = DeadLetterChange::Open(Box::new(letter.clone()));
    write_letters(world, &letter.user, &refused(letter), &[change]).await;
}

async fn replay(world: &World, letter: &DeadLetter, new_mark: &str) -> bool {
    let mark = mark(&letter.user, letter.facet, new_mark, 0);
    let action = Action::DeadLetterReplayed { user: letter.user.clone(), facet: letter.facet };
    let told = (Actor::User(user()), action, Subject::DeadLetter(letter.id.clone()));
    // Marks differ, so entries do.
    let seed = new_mark.bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte));
    let entry = Entry::new(told, "trace", at(0), &SeededRandom::new(seed));
    let table = world.table::<DeadLetterReplayer>();
    table.replay(&filed(letter), &mark, Replay::Plain, &entry).await.unwrap()
}

/// A letter of the sync as it lies on the desk.
fn filed(letter: &DeadLetter) -> Filed {
    let DeadLetter { id, user, facet, milestone, cause, .. } = letter.clone();
    Filed {
        id,
        about: About::Change { user, facet, milestone },
        cause,
        first_seen_at: letter.first_seen_at,
        last_seen_at: letter.last_seen_at,
        tries: letter.tries,
        status: letter.status,
        function_version: letter.function_version.clone(),
        edited: None,
        discarded: None,
    }
}

/// The open letters.
fn open() -> Filter {
    Filter { status: Some(Status::Open), ..Filter::default() }
}

async fn listed(world: &World) -> Vec<Filed> {
    world.table::<DeadLetterLister>().letters(&open(), None, 100).await.unwrap().letters
}

async fn found(world: &World, letter: &DeadLetter) -> Option<Filed> {
    world.table::<DeadLetterReplayer>().letter(&letter.id).await.unwrap()
}

async fn rows(world: &World, now_ms: i64) -> Vec<PendingRow> {
    world.table::<PendingDrainer>().due(at(now_ms), 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_fifty_takers_gets_the_lease() {
    let world = World::start().await;
    let (table, user) = (world.table::<ChangeSender>(), user());
    for round in 0..4 {
        let leases: Vec<Lease> =
            (0..50).map(|taker| lease(&format!("{round}-{taker}"), 20_000)).collect();
        let taking = leases.iter().map(|lease| table.take_lease(&user, lease, at(0)));
        let attempts = join_all(taking).await.into_iter().map(Result::unwrap).zip(&leases);
        let taken: Vec<&Lease> =
            attempts.filter(|(a, _)| *a != LeaseAttempt::Busy).map(|(_, lease)| lease).collect();
        assert_eq!(taken.len(), 1);
        let confirmed = table.confirm(&user, &taken[0].token, &Ledger::default(), &[]).await;
        assert_eq!(confirmed.unwrap(), Confirmation::Confirmed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_busy_until_it_ends_and_tells_when_it_was_abandoned() {
    let world = World::start().await;
    let (table, user) = (world.table::<ChangeSender>(), user());
    let (busy, taken) = (None, Some::<bool>);
    for (token, now_ms, until_ms, expected) in [
        ("a", 0, 20_000, taken(false)),
        ("b", 19_999, 40_000, busy),
        ("b", 20_000, 40_000, busy),
        ("b", 20_001, 40_000, taken(true)),
        // The same again, as when the answer to the first was lost: doubt is the safe side.
        ("b", 20_002, 40_000, taken(true)),
        ("c", 30_000, 50_000, busy),
    ] {
        let attempt = table.take_lease(&user, &lease(token, until_ms), at(now_ms)).await.unwrap();
        let got = match attempt {
            LeaseAttempt::Busy => None,
            LeaseAttempt::Taken { abandoned, .. } => Some(abandoned),
        };
        assert_eq!(got, expected, "{token} at {now_ms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_holder_sees_exactly_what_was_confirmed() {
    let world = World::start().await;
    let (table, user) = (world.table::<ChangeSender>(), user());
    let acknowledged = Acknowledged { hash: "hash".to_owned(), version: u64::MAX, at: at(0) };
    let full = FacetEntry {
        acknowledged: Some(acknowledged),
        refused: refused(&letter(1, &user)).facets[&Facet::Learning].refused.clone(),
    };
    let facets =
        BTreeMap::from([(Facet::Identity, FacetEntry::default()), (Facet::Learning, full)]);
    let ledgers = [
        Ledger { contact_id: Some("512".to_owned()), facets, ..Ledger::default() },
        Ledger { contact_id: Some("513".to_owned()), ..Ledger::default() },
        Ledger::default(),
    ];
    let mut before = Ledger::default();
    for (number, after) in ledgers.into_iter().enumerate() {
        let token = number.to_string();
        let attempt = table.take_lease(&user, &lease(&token, 1), at(0)).await.unwrap();
        assert_eq!(attempt, LeaseAttempt::Taken { ledger: before, abandoned: false });
        table.confirm(&user, &token, &after, &[]).await.unwrap();
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_the_lease_stores_nothing() {
    let world = World::start().await;
    let (table, user) = (world.table::<ChangeSender>(), user());
    let letter = letter(1, &user);
    table.take_lease(&user, &lease("late", 10), at(0)).await.unwrap();
    table.take_lease(&user, &lease("next", 60_000), at(11)).await.unwrap();
    let open = [DeadLetterChange::Open(Box::new(letter.clone()))];
    for changes in [&open[..], &[]] {
        let confirmed = table.confirm(&user, "late", &refused(&letter), changes).await;
        assert_eq!(confirmed.unwrap(), Confirmation::LeaseLost);
    }
    assert_eq!(found(&world, &letter).await, None);
    let attempt = table.take_lease(&user, &lease("last", 90_000), at(60_001)).await.unwrap();
    assert_eq!(attempt, LeaseAttempt::Taken { ledger: Ledger::default(), abandoned: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_saw_the_last_mark_puts_a_row_off_or_removes_it() {
    let world = World::start().await;
    let (table, user) = (world.table::<PendingDrainer>(), user());
    table.mark(&mark(&user, Facet::Learning, "one", 5)).await.unwrap();
    let later = |mark: &str| Reschedule {
        user: user.clone(),
        facet: Facet::Learning,
        mark: mark.to_owned(),
        reason: Reason::Transient,
        attempts: 9,
        due_at: at(7),
    };
    table.reschedule(&later("one")).await.unwrap();
    let newer = Mark {
        attempts: 0,
        now: at(4),
        reason: Reason::Busy,
        dirty: Dirty { user: user.clone(), facet: Facet::Learning, trace_id: None },
        ..mark(&user, Facet::Learning, "two", 6)
    };
    table.mark(&newer).await.unwrap();
    table.resolve(&user, Facet::Learning, "one").await.unwrap();
    table.reschedule(&later("one")).await.unwrap();
    let expected = PendingRow {
        dirty: newer.dirty.clone(),
        mark: "two".to_owned(),
        reason: Reason::Busy,
        attempts: 9,
        first_at: at(0),
        due_at: at(6),
        forced: false,
    };
    assert_eq!(rows(&world, 10).await, [expected]);
    table.resolve(&user, Facet::Identity, "two").await.unwrap();
    assert_eq!(rows(&world, 10).await.len(), 1);
    table.resolve(&user, Facet::Learning, "two").await.unwrap();
    assert_eq!(rows(&world, 10).await, []);
    // What was resolved stays so: no fragment of a row comes back.
    table.reschedule(&later("two")).await.unwrap();
    assert_eq!(rows(&world, 10).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn due_rows_come_longest_overdue_first_and_never_too_many_or_too_early() {
    let world = World::start().await;
    let table = world.table::<PendingDrainer>();
    let users = users(40);
    // Marked in another order than they are due.
    for (number, user) in users.iter().enumerate() {
        let due_ms = i64::try_from(number * 7 % 40).unwrap() * 100;
        table.mark(&mark(user, Facet::Identity, "m", due_ms)).await.unwrap();
    }
    let shards: BTreeSet<u8> =
        users.iter().map(|user| user.as_str().bytes().last().unwrap() % DUE_SHARDS).collect();
    assert_eq!(shards.len(), usize::from(DUE_SHARDS), "the rows are in every part of the index");
    for (now_ms, rows_max, count) in [(-1, 100, 0), (0, 100, 1), (1_999, 100, 20), (1_999, 7, 7)] {
        let rows = table.due(at(now_ms), rows_max).await.unwrap();
        let due: Vec<i64> = rows.iter().map(|row| row.due_at.as_millisecond() - NOW).collect();
        let expected: Vec<i64> = (0..count).map(|place| place * 100).collect();
        assert_eq!(due, expected, "{now_ms} {rows_max}");
    }
    assert_eq!(table.next_due().await.unwrap(), Some(at(0)));
    let first = rows(&world, 0).await.remove(0);
    table.resolve(&first.dirty.user, Facet::Identity, "m").await.unwrap();
    assert_eq!(table.next_due().await.unwrap(), Some(at(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_is_woken_once_and_only_earlier_wakes_count_beside_it() {
    let world = World::start().await;
    let table = world.table::<PendingMarker>();
    for (at_ms, now_ms, winners) in [
        (1_000, 0, 1),
        (1_000, 500, 0),
        (2_000, 500, 0),
        (1_000, 1_000, 0),
        (900, 500, 1),
        (2_000, 901, 1),
    ] {
        let claims = (0..20).map(|_| table.claim_wake(at(at_ms), at(now_ms)));
        let won = join_all(claims).await.into_iter().filter(|won| *won.as_ref().unwrap());
        assert_eq!(won.count(), winners, "{at_ms} at {now_ms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_stored_as_it_is_and_only_over_the_version_that_was_seen() {
    let world = World::start().await;
    let table = world.table::<ChangeSender>();
    // Jitter makes instants that are no whole milliseconds; they must come back as they were.
    let odd = after(at(0), SignedDuration::from_nanos(123_456_789));
    let full = Budget {
        pacer: Pacer { due_us: 1_795_251_600_000_001 },
        limit: Limit::new(190, 10_000),
        pause: Some(Pause { until: odd, reason: PauseReason::DailyLimit }),
        failures: 3,
        probe_until: Some(odd),
        schema_version: Some("2".to_owned()),
        events: EventsAccess::Declared { namespace: "pe1_".to_owned(), version: "1".to_owned() },
    };
    let no_events = Budget { events: EventsAccess::Missing { since: odd }, ..Budget::default() };
    let budgets = [Budget::default(), full, no_events, Budget::default()];
    for (version, budget) in budgets.iter().enumerate() {
        let seen = u64::try_from(version).unwrap();
        let stores = (0..10).map(|_| table.store(budget, seen));
        let won = join_all(stores).await.into_iter().filter(|won| *won.as_ref().unwrap());
        assert_eq!(won.count(), 1);
        let loaded = table.load().await.unwrap();
        assert_eq!((loaded.version, &loaded.budget), (seen + 1, budget));
    }
    assert!(!table.store(&Budget::default(), 0).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_goes_from_the_desk_and_back_and_is_settled_in_the_end() {
    let world = World::start().await;
    let first = letter(1, &user());
    open_letter(&world, &first).await;
    assert_eq!(listed(&world).await, [filed(&first)]);

    world.table::<PendingMarker>().mark(&mark(&first.user, first.facet, "old", 0)).await.unwrap();
    assert!(replay(&world, &first, "replayed").await);
    assert_eq!(listed(&world).await, []);
    let row = rows(&world, 0).await.remove(0);
    assert_eq!((row.mark.as_str(), row.attempts, row.forced), ("replayed", 3, true));
    assert!(!replay(&world, &first, "again").await);
    assert_eq!(rows(&world, 0).await[0].mark, "replayed", "both or neither");

    let cause = Cause { message: "is still invalid".to_owned(), ..first.cause.clone() };
    let repeat = DeadLetterChange::Repeat {
        id: first.id.clone(),
        cause: cause.clone(),
        at: at(50),
        function_version: "2".to_owned(),
    };
    write_letters(&world, &first.user, &refused(&first), &[repeat]).await;
    let repeated = DeadLetter {
        cause,
        last_seen_at: at(50),
        tries: 2,
        function_version: "2".to_owned(),
        ..first.clone()
    };
    assert_eq!(listed(&world).await, [filed(&repeated)]);

    assert!(replay(&world, &first, "once more").await);
    let reopen = DeadLetterChange::Reopen { id: first.id.clone() };
    write_letters(&world, &first.user, &refused(&first), &[reopen]).await;
    assert_eq!(listed(&world).await, [filed(&repeated)]);

    let close =
        DeadLetterChange::Close { id: first.id.clone(), status: Status::Superseded, at: at(60) };
    write_letters(&world, &first.user, &Ledger::default(), &[close]).await;
    assert_eq!(listed(&world).await, []);
    let closed = DeadLetter { status: Status::Superseded, ..repeated };
    assert_eq!(found(&world, &first).await, Some(filed(&closed)));
    assert!(!replay(&world, &first, "too late").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_operators_replays_a_dead_letter() {
    let world = World::start().await;
    let letter = letter(1, &user());
    open_letter(&world, &letter).await;
    let marks: Vec<String> = (0..20).map(|operator| format!("operator {operator}")).collect();
    let replays = marks.iter().map(|mark| replay(&world, &letter, mark));
    let won: Vec<bool> = join_all(replays).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(rows(&world, 0).await[0].mark, marks[winner]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_letter_cannot_take_the_place_of_one_that_is_there() {
    let world = World::start().await;
    let letter = letter(1, &user());
    open_letter(&world, &letter).await;
    let table = world.table::<ChangeSender>();
    table.take_lease(&letter.user, &lease("t", 1), at(0)).await.unwrap();
    let other = DeadLetter { tries: 77, ..letter.clone() };
    let missing = DeadLetterId::new(at(9), &SeededRandom::new(9));
    let repeat = DeadLetterChange::Repeat {
        id: missing.clone(),
        cause: letter.cause.clone(),
        at: at(0),
        function_version: String::new(),
    };
    for change in [
        repeat,
        DeadLetterChange::Open(Box::new(other)),
        DeadLetterChange::Reopen { id: missing.clone() },
        DeadLetterChange::Close { id: missing, status: Status::Resolved, at: at(0) },
    ] {
        let error = table.confirm(&letter.user, "t", &Ledger::default(), &[change]).await;
        assert_eq!(error.unwrap_err().class, PortErrorClass::Corrupt);
    }
    assert_eq!(listed(&world).await, [filed(&letter)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_letters_are_forgotten_after_ninety_days_and_open_ones_never() {
    let world = World::start().await;
    let users = users(3);
    let letters: Vec<DeadLetter> =
        users.iter().zip(1..).map(|(user, number)| letter(number, user)).collect();
    for letter in &letters {
        open_letter(&world, letter).await;
    }
    assert!(replay(&world, &letters[1], "replayed").await);
    let id = letters[0].id.clone();
    let closed_at = world.clock.now();
    let close = DeadLetterChange::Close { id, status: Status::Resolved, at: closed_at };
    write_letters(&world, &users[0], &Ledger::default(), &[close]).await;
    let kept = u64::try_from(DEAD_LETTER_KEPT_SECONDS).unwrap();
    let hour = 3_600;
    for (seconds, closed_is_there) in [(kept - hour, true), (2 * hour, false), (kept, false)] {
        world.clock.advance(Duration::from_secs(seconds));
        world.database.sweep().unwrap();
        assert_eq!(found(&world, &letters[0]).await.is_some(), closed_is_there, "{seconds}");
        assert!(found(&world, &letters[1]).await.is_some());
        assert!(found(&world, &letters[2]).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_open_letter_once_newest_first() {
    let world = World::start().await;
    let users = users(7);
    // Two of them at the same moment.
    for ((user, number), seen_ms) in users.iter().zip(1..).zip([4, 2, 6, 1, 5, 6, 3]) {
        open_letter(&world, &DeadLetter { last_seen_at: at(seen_ms), ..letter(number, user) })
            .await;
    }
    let table = world.table::<DeadLetterLister>();
    for limit in [1, 2, 3, 6, 7, 100] {
        let (mut cursor, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
        loop {
            let page = table.letters(&open(), cursor.as_deref(), limit).await.unwrap();
            assert!(page.letters.len() <= limit);
            seen.extend(page.letters);
            pages += 1;
            cursor = page.position;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, users.len().div_ceil(limit), "no page is empty");
        assert!(seen.is_sorted_by_key(|letter| std::cmp::Reverse(letter.last_seen_at)));
        let ids: BTreeSet<String> = seen.into_iter().map(|letter| letter.id.into()).collect();
        assert_eq!(ids.len(), users.len(), "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_ones_own_making_opens_nothing_else() {
    let world = World::start().await;
    let letter = letter(5, &user());
    open_letter(&world, &letter).await;
    let table = world.table::<DeadLetterLister>();
    let id = &letter.id;
    for (cursor, expected) in [
        (format!("open.{}.{id}", NOW + 6), Ok(1)),
        (format!("open.{}.{id}", NOW + 4), Ok(0)),
        ("open".to_owned(), Ok(1)),
        (format!("{}.{id}", NOW + 6), Err(PortErrorClass::Rejected)),
        (format!("open.{}", NOW + 6), Err(PortErrorClass::Rejected)),
        (format!("open.{}.{}", NOW, letter.user), Err(PortErrorClass::Rejected)),
        (format!("open.{}.{id}", i64::MAX), Err(PortErrorClass::Rejected)),
        (format!("open.{NOW}.{id}.{id}"), Err(PortErrorClass::Rejected)),
        (id.to_string(), Err(PortErrorClass::Rejected)),
        (String::new(), Err(PortErrorClass::Rejected)),
    ] {
        let page = table.letters(&open(), Some(&cursor), 10).await;
        let got = page.map(|page| page.letters.len()).map_err(|error| error.class);
        assert_eq!(got, expected, "{cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_counts_what_waits_and_what_is_refused() {
    let world = World::start().await;
    let table = world.table::<SyncOverseer>();
    assert_eq!(table.overview().await.unwrap(), rollcall_crm::port::Overview::default());
    let (users, marker) = (users(5), world.table::<PendingMarker>());
    for (user, number) in users.iter().zip(0..) {
        let first = Mark { now: at(-number), ..mark(user, Facet::Learning, "m", 1_000_000) };
        marker.mark(&first).await.unwrap();
    }
    marker.mark(&mark(&users[0], Facet::Identity, "m", 0)).await.unwrap();
    open_letter(&world, &letter(1, &users[0])).await;
    open_letter(&world, &letter(2, &users[1])).await;
    marker.need_reconcile("progress", at(0)).await.unwrap();
    marker.need_reconcile("progress", at(1)).await.unwrap();
    let budget = Budget { failures: 2, ..Budget::default() };
    assert!(world.table::<ChangeSender>().store(&budget, 0).await.unwrap());
    let overview = table.overview().await.unwrap();
    assert_eq!(overview.pending, BTreeMap::from([(Facet::Identity, 1), (Facet::Learning, 5)]));
    assert_eq!((overview.pending_has_more, overview.pending_since), (false, Some(at(-4))));
    assert_eq!((overview.dead_letters_open, overview.budget), (2, budget));
    assert_eq!(overview.tables_to_reconcile, ["progress"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_item_are_waited_for_and_not_for_ever() {
    let world = World::start().await;
    let (table, user) = (world.table::<ChangeSender>(), user());
    let letter = letter(1, &user);
    let open = [DeadLetterChange::Open(Box::new(letter.clone()))];
    let name = Table::Crm.full_name("dev");
    for (times, outcome) in [(4, Ok(())), (5, Err(PortErrorClass::Throttled))] {
        let faults = world.database.faults();
        faults.fail_next("UpdateItem", &name, Fault::TransactionConflict, times);
        let marked = table.mark(&mark(&user, Facet::Learning, "m", 0)).await;
        assert_eq!(marked.map_err(|error| error.class), outcome, "{times}");
        faults.clear();
    }
    for (times, outcome) in [(5, Err(PortErrorClass::Throttled)), (4, Ok(Confirmation::Confirmed))]
    {
        table.take_lease(&user, &lease("t", 1), at(0)).await.unwrap();
        let faults = world.database.faults();
        faults.fail_next("TransactWriteItems", &name, Fault::TransactionConflict, times);
        let confirmed = table.confirm(&user, "t", &refused(&letter), &open).await;
        assert_eq!(confirmed.map_err(|error| error.class), outcome, "{times}");
        faults.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_capability_may_do_more_than_its_calls_need() {
    let world = World::start().await;
    let (one, two) = (users(2).remove(0), users(2).remove(1));
    let (facet, letter) = (Facet::Learning, letter(1, &one));
    open_letter(&world, &letter).await;
    world.table::<ChangeSender>().load().await.unwrap();
    world.check_grants_are_used::<ChangeSender>();

    let marker = world.table::<PendingMarker>();
    marker.mark(&mark(&two, facet, "m", 0)).await.unwrap();
    world.check_grants_are_used::<PendingMarker>();

    let drainer = world.table::<PendingDrainer>();
    drainer.load().await.unwrap();
    drainer.due(at(0), 1).await.unwrap();
    drainer.mark(&mark(&two, facet, "n", 0)).await.unwrap();
    drainer.resolve(&two, facet, "n").await.unwrap();
    let changed = Drift { user: two.clone(), what: "email".to_owned(), at: at(0), again: vec![] };
    InboundKeeper::new(&world.operator()).note(&changed, &[]).await.unwrap();
    drainer.forget_contact(&two).await.unwrap();
    world.check_grants_are_used::<PendingDrainer>();

    world.table::<SyncOverseer>().overview().await.unwrap();
    world.check_grants_are_used::<SyncOverseer>();
    assert_eq!(listed(&world).await.len(), 1);
    world.check_grants_are_used::<DeadLetterLister>();
    assert_eq!(found(&world, &letter).await, Some(filed(&letter)));
    assert!(replay(&world, &letter, "m").await);
    world.check_grants_are_used::<DeadLetterReplayer>();

    let error = world.table::<DeadLetterLister>().letter(&letter.id).await.unwrap_err();
    assert_eq!(error.class, PortErrorClass::Rejected);
}
