//! The wish that a contact leaves the CRM.

use std::any::type_name;

use rollcall_crm::dead_letter::{DeadLetter, DeadLetterChange, Status};
use rollcall_crm::ledger::{LeaseAttempt, Ledger};
use rollcall_crm::pending::Reason;
use rollcall_crm::port::{Confirmation, LedgerStore};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use rollcall_store::crm::{ChangeSender, ContactErasure};
use rollcall_store::{Capability, Tables};

use crate::world::World;
use crate::{at, filed, found, lease, letter, listed, open_letter, rows, user, write_letters};

fn wish(id: &str, kind: RemovalKind) -> Removal {
    Removal::new(id.to_owned(), kind, Some("ada@example.org".to_owned()), at(0))
}

async fn ask(world: &World, removal: &Removal) {
    let connection = world.acting_as(type_name::<ContactErasure>(), ContactErasure::GRANTS);
    ContactErasure::new(&Tables::new(&connection, "dev")).ask(&user(), removal).await.unwrap();
}

/// What the next sender finds, who lets the lease go again unless it stores something.
async fn taken(world: &World, token: &str, now_ms: i64) -> Ledger {
    let table = world.table::<ChangeSender>();
    let attempt = table.take_lease(&user(), &lease(token, now_ms + 1), at(now_ms)).await.unwrap();
    let LeaseAttempt::Taken { ledger, .. } = attempt else { panic!("busy") };
    ledger
}

async fn confirm(world: &World, token: &str, ledger: &Ledger) -> Confirmation {
    world.table::<ChangeSender>().confirm(&user(), token, ledger, &[]).await.unwrap()
}

fn leaving(removal: Removal) -> Ledger {
    Ledger { removal: Some(removal), ..Ledger::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_survives_the_sender_of_before_and_is_fulfilled_once() {
    let world = World::start().await;
    let erase = wish("erase", RemovalKind::Erase);
    taken(&world, "before", 0).await;
    ask(&world, &erase).await;
    let row = &rows(&world, 0).await[0];
    assert_eq!((row.mark.as_str(), row.reason), ("erase", Reason::Removal));

    let sent = Ledger { contact_id: Some("512".to_owned()), ..Ledger::default() };
    assert_eq!(confirm(&world, "before", &sent).await, Confirmation::Confirmed);
    let seen = taken(&world, "remover", 10).await;
    assert_eq!(seen, Ledger { removal: Some(erase.clone()), ..sent });
    let tombstone = leaving(erase.done(at(20)));
    assert_eq!(confirm(&world, "remover", &tombstone).await, Confirmation::Confirmed);

    // The same wish again, as when its transaction is repeated, is fulfilled again.
    assert_eq!(taken(&world, "late", 30).await, tombstone);
    world.check_grants_are_used::<ContactErasure>();
}

#[tokio::test(flavor = "multi_thread")]
async fn to_erase_overrides_and_to_archive_does_not() {
    let world = World::start().await;
    let archive = wish("archive", RemovalKind::Archive);
    let erase = wish("erase", RemovalKind::Erase);
    ask(&world, &archive).await;
    assert_eq!(taken(&world, "archiver", 0).await, leaving(archive.clone()));
    ask(&world, &erase).await;
    let archived = leaving(archive.done(at(1)));
    assert_eq!(confirm(&world, "archiver", &archived).await, Confirmation::LeaseLost);
    assert_eq!(taken(&world, "eraser", 10).await, leaving(erase.clone()));
    let tombstone = leaving(erase.clone().done(at(11)));
    assert_eq!(confirm(&world, "eraser", &tombstone).await, Confirmation::Confirmed);

    ask(&world, &wish("again", RemovalKind::Archive)).await;
    assert_eq!(taken(&world, "late", 20).await, tombstone);
    ask(&world, &erase).await;
    assert_eq!(taken(&world, "late", 30).await, leaving(erase));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_user_left_shows_nothing_of_the_request() {
    let world = World::start().await;
    let user: UserId = user();
    let open = letter(1, &user);
    open_letter(&world, &open).await;
    let id = open.id.clone();
    let close = DeadLetterChange::Close { id, status: Status::Withdrawn, at: at(9) };
    write_letters(&world, &user, &Ledger::default(), &[close]).await;
    assert_eq!(listed(&world).await, []);
    let mut blank: DeadLetter = open.clone();
    blank.cause.request.clear();
    blank.cause.message.clear();
    blank.status = Status::Withdrawn;
    assert_eq!(found(&world, &open).await, Some(filed(&blank)));
}
