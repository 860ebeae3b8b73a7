//! Sessions against the local DynamoDB, over HTTP, with the real client: what one write must hold
//! together, under exactly the permissions that each capability declares.

#![cfg(test)]

#[path = "crm/world.rs"]
#[expect(dead_code, reason = "the world of the CRM's tests offers more than sessions need")]
mod world;

use std::any::type_name;

use futures::future::{join, join_all};
use rollcall_domain::id::UserId;
use rollcall_domain::limits::{REFRESH_DUE_SECONDS, REFRESH_FRESH_SECONDS, REFRESH_LEASE_SECONDS};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::secret::Secret;
use rollcall_domain::session::Session;
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_local_dynamodb::Fault;
use rollcall_store::refresh::{RefreshAgenda, SessionRefresher, Turn};
use rollcall_store::sessions::{
    EverySessionEnder, SessionEnder, SessionLister, SessionReader, SessionStarter,
};
use rollcall_store::vault::{Keyring, Sealed};
use rollcall_store::{Capability, Tables};

use world::World;

const EDGE: &str = "rollcall-dev-edge";

fn now() -> Timestamp {
    Timestamp::from_second(1_795_251_600).unwrap()
}

fn can<C: Capability>(world: &World) -> C {
    C::new(&Tables::new(&world.acting_as(type_name::<C>(), C::GRANTS), "dev"))
}

fn sealed(token: &str, random: &SeededRandom) -> Sealed {
    let keyring = Keyring::parse(&Secret::new("k".repeat(43))).ok().unwrap();
    keyring.seal(&Secret::new(token), "place", random).unwrap()
}

async fn begin(world: &World, user: &UserId, count: usize, random: &SeededRandom) -> Vec<Session> {
    let starter: SessionStarter = can(world);
    let mut sessions = Vec::new();
    for _ in 0..count {
        let (session, _) = Session::begin(user.clone(), Vec::new(), now(), random);
        starter.start(&session, Some(&sealed("t", random)), "trace").await.unwrap();
        sessions.push(session);
    }
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_one_write_holds_end_together_and_nobody_elses() {
    let (world, random) = (World::start().await, SeededRandom::new(1));
    let (user, other) = (UserId::new(now(), &random), UserId::new(now(), &random));
    let all = begin(&world, &user, 120, &random).await;
    let others = begin(&world, &other, 2, &random).await;
    let (reader, list): (SessionReader, SessionLister) = (can(&world), can(&world));
    let shown = list.list(&user, now()).await.unwrap();
    assert_eq!(shown.len(), 100, "the newest hundred");
    world.database.faults().fail_next("TransactWriteItems", EDGE, Fault::TransactionConflict, 1);
    let ended = can::<EverySessionEnder>(&world).end_all(&user, now()).await.unwrap();
    assert_eq!(ended.len(), all.len());
    assert!(ended.iter().all(|ended| ended.user == user && ended.refresh_token.is_some()));
    for session in &all {
        assert_eq!(reader.find(&session.hash).await.unwrap(), None);
    }
    assert_eq!(list.list(&user, now()).await.unwrap(), []);
    assert_eq!(list.list(&other, now()).await.unwrap().len(), others.len());
    world.check_grants_are_used::<SessionStarter>();
    world.check_grants_are_used::<SessionLister>();
    world.check_grants_are_used::<EverySessionEnder>();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_end_as_if_at_one_moment_while_somebody_signs_in() {
    let (world, random) = (World::start().await, SeededRandom::new(2));
    let user = UserId::new(now(), &random);
    let (reader, list): (SessionReader, SessionLister) = (can(&world), can(&world));
    let every: EverySessionEnder = can(&world);
    let mut overtaken = 0;
    for _ in 0..40 {
        let before = begin(&world, &user, 3, &random).await.remove(0);
        let signing_in = async {
            let mut during = Vec::new();
            for _ in 0..4 {
                let session = begin(&world, &user, 1, &random).await.remove(0);
                let is_first = reader.find(&before.hash).await.unwrap().is_some();
                during.push((session, is_first));
            }
            during
        };
        let (ended, during) = join(every.end_all(&user, now()), signing_in).await;
        let ended = ended.unwrap();
        let is_ended = |session: &Session| ended.iter().any(|ended| ended.id == session.id);
        assert!(is_ended(&before));
        let shown = list.list(&user, now()).await.unwrap();
        for (session, is_first) in &during {
            let lives = reader.find(&session.hash).await.unwrap().is_some();
            assert_ne!(lives, is_ended(session));
            assert_eq!(lives, shown.contains(session), "a live session that nobody can end");
            // What was there while an older session still was must have ended with it.
            assert!(!(*is_first && lives), "a session slipped through");
            overtaken += u32::from(*is_first);
        }
        every.end_all(&user, now()).await.unwrap();
    }
    assert!(overtaken > 0, "nothing happened at the same time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_its_cookie_or_its_name_and_only_for_its_user() {
    let (world, random) = (World::start().await, SeededRandom::new(3));
    let (user, other) = (UserId::new(now(), &random), UserId::new(now(), &random));
    let sessions = begin(&world, &user, 3, &random).await;
    let (reader, ender): (SessionReader, SessionEnder) = (can(&world), can(&world));
    assert!(ender.end(&other, &sessions[0].id, now()).await.unwrap().is_none());
    assert!(reader.find(&sessions[0].hash).await.unwrap().is_some());
    assert!(ender.end(&user, &sessions[0].id, now()).await.unwrap().is_some());
    assert!(ender.end(&user, &sessions[0].id, now()).await.unwrap().is_none());
    assert!(ender.end_by_cookie(&sessions[1].hash).await.unwrap().is_some());
    assert!(ender.end_by_cookie(&sessions[1].hash).await.unwrap().is_none());
    let left = can::<SessionLister>(&world).list(&user, now()).await.unwrap();
    assert_eq!(left, [sessions[2].clone()]);
    world.check_grants_are_used::<SessionEnder>();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_refuses_the_tokens_from_before() {
    let (world, random) = (World::start().await, SeededRandom::new(5));
    let user = UserId::new(now(), &random);
    let sessions = begin(&world, &user, 3, &random).await;
    let (reader, ender): (SessionReader, SessionEnder) = (can(&world), can(&world));
    let every: EverySessionEnder = can(&world);
    let at = |second| after_seconds(now(), second);
    let bound = async || reader.tokens_not_before(&user).await.unwrap();
    assert_eq!(bound().await, None);
    ender.end_by_cookie(&sessions[0].hash).await.unwrap();
    assert_eq!(bound().await, None, "a browser that signs in again revokes nothing");
    ender.end(&user, &sessions[1].id, at(1)).await.unwrap();
    assert_eq!(bound().await, Some(at(1)));
    every.end_all(&user, at(2)).await.unwrap();
    assert_eq!(bound().await, Some(at(2)));
    every.end_all(&user, at(3)).await.unwrap();
    assert_eq!(bound().await, Some(at(3)), "somebody without a session may have tokens");
    let nobody = UserId::new(now(), &random);
    every.end_all(&nobody, at(4)).await.unwrap();
    assert_eq!(reader.tokens_not_before(&nobody).await.unwrap(), Some(at(4)));
    begin(&world, &nobody, 1, &random).await;
    assert_eq!(reader.tokens_not_before(&nobody).await.unwrap(), Some(at(4)));
    assert_eq!(every.end_all(&nobody, at(5)).await.unwrap().len(), 1);
}

/// What a turn is called in the table below.
fn name(turn: &Turn) -> &'static str {
    match turn {
        Turn::Ours(_) => "ours",
        Turn::Fresh(_) => "fresh",
        Turn::Theirs => "theirs",
        Turn::Ended => "ended",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_any_number_of_callers_one_has_the_turn_until_it_is_done_or_dead() {
    let (world, random) = (World::start().await, SeededRandom::new(4));
    let user = UserId::new(now(), &random);
    let session = begin(&world, &user, 1, &random).await.remove(0);
    let turns: SessionRefresher = can(&world);
    let take = async |holder: &str, second: i64| {
        name(
            &turns
                .take_turn(&session, holder, REFRESH_FRESH_SECONDS, after_seconds(now(), second))
                .await
                .unwrap(),
        )
    };
    let asking = (0..20).map(|number| {
        let (turns, session) = (turns.clone(), session.clone());
        async move {
            name(
                &turns
                    .take_turn(&session, &number.to_string(), REFRESH_FRESH_SECONDS, now())
                    .await
                    .unwrap(),
            )
        }
    });
    let taken = join_all(asking).await;
    assert_eq!(taken.iter().filter(|turn| **turn == "ours").count(), 1, "{taken:?}");
    assert_eq!(take("late", REFRESH_LEASE_SECONDS - 1).await, "theirs");
    assert_eq!(take("late", REFRESH_LEASE_SECONDS).await, "ours", "its holder died");
    let new = sealed("new", &random);
    let at = |second| after_seconds(now(), second);
    assert!(!turns.keep(&session, "dead", &new, at(40)).await.unwrap());
    turns.give_back(&session, "dead").await.unwrap();
    assert_eq!(take("other", REFRESH_LEASE_SECONDS + 1).await, "theirs");
    assert!(turns.keep(&session, "late", &new, at(40)).await.unwrap());
    assert_eq!(take("next", 40 + REFRESH_FRESH_SECONDS - 1).await, "fresh");
    let next = turns
        .take_turn(&session, "next", REFRESH_FRESH_SECONDS, at(40 + REFRESH_FRESH_SECONDS))
        .await
        .unwrap();
    assert!(matches!(next, Turn::Ours(Some(stored)) if stored == new));
    turns.give_back(&session, "next").await.unwrap();
    assert_eq!(take("again", 40 + REFRESH_FRESH_SECONDS).await, "ours");
    can::<SessionEnder>(&world).end(&user, &session.id, now()).await.unwrap();
    assert_eq!(take("again", 100).await, "ended");
    assert!(!turns.keep(&session, "again", &new, at(101)).await.unwrap());
    assert_eq!(can::<SessionLister>(&world).list(&user, now()).await.unwrap(), []);
    world.check_grants_are_used::<SessionRefresher>();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_used_long_after_the_provider_was_asked_waits_to_be_refreshed() {
    let (world, random) = (World::start().await, SeededRandom::new(6));
    let user = UserId::new(now(), &random);
    let sessions = begin(&world, &user, 2, &random).await;
    let (busy, ended) = (&sessions[0], &sessions[1]);
    let (reader, turns): (SessionReader, SessionRefresher) = (can(&world), can(&world));
    let agenda: RefreshAgenda = can(&world);
    let at = |second| after_seconds(now(), REFRESH_DUE_SECONDS + second);
    let due = async |second| agenda.due(at(second), 10).await.unwrap();
    reader.touch(busy, at(-1)).await.unwrap();
    assert_eq!(due(9_999).await, [], "the provider was asked lately");
    reader.touch(busy, at(0)).await.unwrap();
    let found = due(0).await;
    assert_eq!(found, [reader.find(&busy.hash).await.unwrap().unwrap()]);
    agenda.put_off(busy, at(300)).await.unwrap();
    reader.touch(busy, at(1)).await.unwrap();
    assert_eq!(due(299).await, [], "a use brings back what was put off");
    assert_eq!(due(300).await.len(), 1);
    turns.settle(busy, at(300)).await.unwrap();
    agenda.put_off(busy, at(301)).await.unwrap();
    assert_eq!(due(9_999).await, [], "what is done is put off");
    let settled = reader.find(&busy.hash).await.unwrap().unwrap();
    assert_eq!((settled.asked_at, settled.last_used_at), (at(300), at(1)));

    reader.touch(ended, at(0)).await.unwrap();
    can::<SessionEnder>(&world).end(&user, &ended.id, now()).await.unwrap();
    turns.settle(ended, at(1)).await.unwrap();
    assert_eq!(due(9_999).await, []);
    assert_eq!(reader.find(&ended.hash).await.unwrap(), None, "a session came back");
    assert!(reader.touch(ended, at(2)).await.is_err());
    world.check_grants_are_used::<RefreshAgenda>();
}
