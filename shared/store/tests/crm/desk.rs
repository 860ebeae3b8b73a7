//! What operators see of dead letters and do about them.

use futures::future::join_all;
use rollcall_crm::dead_letter::{DeadLetter, DeadLetterChange, Status};
use rollcall_crm::desk::{Canary, Discarded, Edit, Edited, Filed, Filter, Kind};
use rollcall_crm::ledger::{LeaseAttempt, Ledger};
use rollcall_crm::port::LedgerStore;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::random::SeededRandom;
use rollcall_store::Capability;
use rollcall_store::crm::{
    ChangeSender, ContactErasure, DeadLetterEditor, DeadLetterFinder, DeadLetterLister,
    DeadLetterPreviewer, DeadLetterReplayer, DeadLetterSpreader, Replay, UserSyncReader,
};

use super::world::World;
use super::{
    at, filed, found, lease, letter, mark, open_letter, refused, replay, user, users, write_letters,
};

fn entry(letter: &DeadLetter, seed: u64) -> Entry {
    let subject = Subject::DeadLetter(letter.id.clone());
    let told = (Actor::User(user()), Action::DeadLetterDiscarded, subject);
    Entry::new(told, "trace", at(0), &SeededRandom::new(seed))
}

async fn ids(world: &World, filter: Filter) -> Vec<String> {
    let page = world.table::<DeadLetterLister>().letters(&filter, None, 100).await.unwrap();
    assert_eq!(page.position, None);
    page.letters.into_iter().map(|letter| letter.id.into()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_every_status_is_listed_and_each_filter_picks_its_own() {
    let world = World::start().await;
    let people = users(4);
    let mut letters: Vec<DeadLetter> =
        people.iter().zip(1..).map(|(user, number)| letter(number, user)).collect();
    letters[1].facet = Facet::Identity;
    letters[2].cause.fingerprint = "fedcba9876543210".to_owned();
    for letter in &letters {
        open_letter(&world, letter).await;
    }
    assert!(replay(&world, &letters[3], "replayed").await);
    let id = letters[0].id.clone();
    let close = DeadLetterChange::Close { id, status: Status::Resolved, at: at(9) };
    write_letters(&world, &people[0], &Ledger::default(), &[close]).await;

    let of = |places: &[usize]| -> Vec<String> {
        places.iter().map(|place| letters[*place].id.to_string()).collect()
    };
    let all = Filter::default();
    let one = |status| Filter { status: Some(status), ..Filter::default() };
    for (filter, expected) in [
        (all.clone(), &[2_usize, 1, 3, 0][..]),
        (one(Status::Open), &[2, 1]),
        (one(Status::Replaying), &[3]),
        (one(Status::Resolved), &[0]),
        (one(Status::Discarded), &[]),
        (Filter { facet: Some(Facet::Identity), ..all.clone() }, &[1]),
        (Filter { user: Some(people[2].clone()), ..all.clone() }, &[2]),
        (Filter { kind: Some(Kind::Facet), ..all.clone() }, &[2, 1, 3, 0]),
        (Filter { kind: Some(Kind::Message), ..all.clone() }, &[]),
        (Filter { fingerprint: Some("fedcba9876543210".to_owned()), ..all.clone() }, &[2]),
        (Filter { since: Some(at(3)), ..all.clone() }, &[2, 3]),
        (Filter { before: Some(at(3)), ..all.clone() }, &[1, 0]),
        (Filter { since: Some(at(2)), before: Some(at(4)), ..all.clone() }, &[2, 1]),
    ] {
        assert_eq!(ids(&world, filter.clone()).await, of(expected), "{filter:?}");
    }
    for limit in 1..5 {
        let (mut seen, mut position) = (Vec::new(), None::<String>);
        for _page in 0..9 {
            let table = world.table::<DeadLetterLister>();
            let page = table.letters(&all, position.as_deref(), limit).await.unwrap();
            seen.extend(page.letters.into_iter().map(|letter| String::from(letter.id)));
            position = page.position;
            if position.is_none() {
                break;
            }
        }
        assert_eq!(seen, of(&[2, 1, 3, 0]), "{limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_stands_with_its_user_until_the_contact_is_gone() {
    let world = World::start().await;
    let letter = letter(1, &user());
    open_letter(&world, &letter).await;
    let edit = Edit {
        of: "hash".to_owned(),
        properties: [("a".to_owned(), None), ("b".to_owned(), Some("1".to_owned()))].into(),
    };
    let note = Edited { by: "grace".to_owned(), at: at(1), properties: edit.sketched() };
    let editor = world.table::<DeadLetterEditor>();
    let edited = Replay::Edited(&edit, &note);
    let mark = mark(&user(), letter.facet, "edited", 0);
    assert_eq!(editor.sync_of(&user()).await.unwrap().ledger, Some(refused(&letter)));
    let open = editor.letter(&letter.id).await.unwrap().unwrap();
    assert!(editor.replay(&open, &mark, edited, &entry(&letter, 1)).await.unwrap());
    world.check_grants_are_used::<DeadLetterEditor>();
    let expected = Filed { status: Status::Replaying, edited: Some(note.clone()), ..open.clone() };
    assert_eq!(found(&world, &letter).await, Some(expected));

    let sender = world.table::<ChangeSender>();
    let taken = sender.take_lease(&user(), &lease("t", 9), at(2)).await.unwrap();
    let LeaseAttempt::Taken { ledger, .. } = taken else { panic!("{taken:?}") };
    assert_eq!(ledger.edits.get(&letter.facet), Some(&edit));
    // Who confirms does not write it: an edit that came meanwhile must not be lost.
    sender.confirm(&user(), "t", &refused(&letter), &[]).await.unwrap();
    let sync = world.table::<UserSyncReader>().sync_of(&user()).await.unwrap();
    assert_eq!(sync.ledger.unwrap().edits.get(&letter.facet), Some(&edit));
    assert_eq!((sync.pending[0].mark.as_str(), sync.pending[0].forced), ("edited", true));

    let removal = Removal::new("w".to_owned(), RemovalKind::Erase, None, at(3));
    ContactErasure::new(&world.operator()).ask(&user(), &removal).await.unwrap();
    sender.take_lease(&user(), &lease("u", 9), at(4)).await.unwrap();
    let gone = Ledger { removal: Some(removal.done(at(5))), ..Ledger::default() };
    let reopen = DeadLetterChange::Reopen { id: letter.id.clone() };
    sender.confirm(&user(), "u", &gone, &[reopen]).await.unwrap();
    let sync = world.table::<DeadLetterPreviewer>().sync_of(&user()).await.unwrap();
    assert_eq!(sync.ledger, Some(gone));
    let again = editor.replay(&open, &mark, edited, &entry(&letter, 2)).await.unwrap();
    assert!(!again, "nothing is sent about who left");
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_is_noted_and_frees_the_place_of_a_milestone() {
    let world = World::start().await;
    let people = users(2);
    let facet = letter(1, &people[0]);
    open_letter(&world, &facet).await;
    let waiting = super::milestones::row(&people[1], "a", 0);
    let milestone =
        DeadLetter { milestone: Some(waiting.milestone.clone()), ..letter(2, &people[1]) };
    open_letter(&world, &milestone).await;
    let refused = [(waiting.milestone.id.clone(), milestone.id.clone())];
    let ledger = Ledger { milestones_refused: refused.into(), ..Ledger::default() };
    write_letters(&world, &people[1], &ledger, &[]).await;

    let desk = world.table::<DeadLetterReplayer>();
    let note = Discarded { by: "grace".to_owned(), at: at(10), reason: "no".to_owned() };
    let sender = world.table::<ChangeSender>();
    sender.take_lease(&people[1], &lease("t", 20), at(3)).await.unwrap();
    let open = filed(&milestone);
    let discarded = desk.discard(&open, &note, &entry(&milestone, 1)).await.unwrap();
    assert!(!discarded, "whoever holds the lease would write the old ledger back");
    sender.confirm(&people[1], "t", &ledger, &[]).await.unwrap();
    assert!(desk.discard(&open, &note, &entry(&milestone, 2)).await.unwrap());
    assert!(!desk.discard(&open, &note, &entry(&milestone, 3)).await.unwrap());
    let sync = world.table::<UserSyncReader>().sync_of(&people[1]).await.unwrap();
    assert_eq!(sync.ledger, Some(Ledger::default()));

    assert!(desk.discard(&filed(&facet), &note, &entry(&facet, 4)).await.unwrap());
    let kept = world.table::<DeadLetterFinder>().letter(&facet.id).await.unwrap();
    let expected = Filed { status: Status::Discarded, discarded: Some(note), ..filed(&facet) };
    assert_eq!(kept, Some(expected));
    assert!(!replay(&world, &facet, "too late").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_letter_is_there_for_as_long_as_the_ledger_names_it() {
    let world = World::start().await;
    let letter = letter(1, &user());
    open_letter(&world, &letter).await;
    let note = Discarded { by: "grace".to_owned(), at: at(1), reason: "no".to_owned() };
    let desk = world.table::<DeadLetterReplayer>();
    assert!(desk.discard(&filed(&letter), &note, &entry(&letter, 1)).await.unwrap());
    world.clock.advance(std::time::Duration::from_hours(24 * 365));
    world.database.sweep().unwrap();
    let repeat = DeadLetterChange::Repeat {
        id: letter.id.clone(),
        cause: letter.cause.clone(),
        at: at(50),
        function_version: "2".to_owned(),
    };
    write_letters(&world, &user(), &refused(&letter), &[repeat]).await;
    let open = found(&world, &letter).await.unwrap();
    assert_eq!((open.status, open.tries, open.discarded), (Status::Open, 2, Some(note)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_letter_is_the_canary_whoever_asks() {
    let world = World::start().await;
    let people = users(8);
    let letters: Vec<DeadLetter> =
        people.iter().zip(1..).map(|(user, number)| letter(number, user)).collect();
    for letter in &letters {
        open_letter(&world, letter).await;
    }
    let cause = &letters[0].cause.fingerprint;
    let spreader = world.table::<DeadLetterSpreader>();
    assert_eq!(spreader.canary(cause).await.unwrap(), None);
    let sending = letters.iter().zip(1..).map(|(letter, seed)| {
        let spreader = &spreader;
        async move {
            let mark = mark(&letter.user, letter.facet, "canary", 0);
            let (open, entry) = (filed(letter), entry(letter, seed));
            spreader.replay(&open, &mark, Replay::Canary(None), &entry).await.unwrap()
        }
    });
    let won: Vec<bool> = join_all(sending).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let canary = spreader.canary(cause).await.unwrap().unwrap();
    let first = won.iter().position(|won| *won).unwrap();
    assert_eq!(canary, Canary { letter: letters[first].id.clone(), at: at(0) });
    let other = Canary { letter: letters[(first + 1) % 8].id.clone(), ..canary.clone() };
    spreader.forget_canary(cause, &other).await.unwrap();
    assert_eq!(spreader.canary(cause).await.unwrap().as_ref(), Some(&canary));
    spreader.forget_canary(cause, &canary).await.unwrap();
    assert_eq!(spreader.canary(cause).await.unwrap(), None);
}
