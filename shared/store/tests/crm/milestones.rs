//! Milestones that wait, and those that were refused.

use rollcall_crm::dead_letter::{DeadLetter, Status};
use rollcall_crm::ledger::{LeaseAttempt, Ledger};
use rollcall_crm::milestone::{Milestone, MilestoneKind, MilestoneRow};
use rollcall_crm::port::{LedgerStore, MilestoneStore, Overseer, PendingStore};
use rollcall_domain::id::UserId;
use rollcall_store::crm::{ChangeSender, PendingDrainer, PendingMarker, SyncOverseer};

use crate::world::World;
use crate::{at, filed, found, lease, letter, open_letter, replay, user, users, write_letters};

pub(super) fn row(user: &UserId, occasion: &str, due_ms: i64) -> MilestoneRow {
    let milestone = Milestone::new(user, MilestoneKind::SignedIn, occasion, at(-5));
    MilestoneRow { due_at: at(due_ms), ..MilestoneRow::new(milestone, at(0)) }
}

async fn due(world: &World, now_ms: i64) -> Vec<MilestoneRow> {
    world.table::<PendingDrainer>().milestones_due(at(now_ms), 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milestone_waits_as_it_was_kept_until_it_is_settled() {
    let world = World::start().await;
    let (users, keeper) = (users(9), world.table::<PendingMarker>());
    let rows: Vec<MilestoneRow> =
        users.iter().zip(0..).map(|(user, number)| row(user, "a", number * 10)).collect();
    for row in &rows {
        keeper.keep(row).await.unwrap();
        keeper.keep(&MilestoneRow { attempts: 7, due_at: at(999), ..row.clone() }).await.unwrap();
    }
    let drainer = world.table::<PendingDrainer>();
    assert_eq!(due(&world, 1_000).await, rows);
    assert_eq!(due(&world, 39).await, rows[..4]);
    assert_eq!(drainer.milestones_due(at(1_000), 2).await.unwrap(), rows[..2]);
    assert_eq!(drainer.due(at(1_000), 100).await.unwrap(), [], "it is no pending row");
    let overview = world.table::<SyncOverseer>().overview().await.unwrap();
    assert_eq!((overview.milestones_pending, overview.pending.len()), (9, 0));

    let later = MilestoneRow { attempts: 3, due_at: at(500), ..rows[0].clone() };
    drainer.put_off(&later).await.unwrap();
    assert_eq!(due(&world, 1_000).await.last(), Some(&later));
    assert_eq!(drainer.next_milestone_due().await.unwrap(), Some(at(10)));
    for (left, row) in (1..=rows.len()).rev().zip(&rows) {
        let older = MilestoneRow { first_at: at(-1), ..row.clone() };
        drainer.settle(&older).await.unwrap();
        assert_eq!(due(&world, 1_000).await.len(), left, "it was made anew since then");
        drainer.settle(row).await.unwrap();
        drainer.put_off(row).await.unwrap();
    }
    assert_eq!(due(&world, 1_000).await, [], "what was settled does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_milestone_is_remembered_and_waits_again_when_it_is_replayed() {
    let world = World::start().await;
    let waiting = row(&user(), "a", 0);
    let letter = DeadLetter { milestone: Some(waiting.milestone.clone()), ..letter(1, &user()) };
    open_letter(&world, &letter).await;
    assert_eq!(found(&world, &letter).await, Some(filed(&letter)));
    let refused = [(waiting.milestone.id.clone(), letter.id.clone())];
    let ledger = Ledger { milestones_refused: refused.into(), ..Ledger::default() };
    write_letters(&world, &user(), &ledger, &[]).await;
    let (sender, user) = (world.table::<ChangeSender>(), user());
    let attempt = sender.take_lease(&user, &lease("next", 9), at(2)).await.unwrap();
    assert_eq!(attempt, LeaseAttempt::Taken { ledger, abandoned: false });

    assert!(replay(&world, &letter, "replayed").await);
    assert!(!replay(&world, &letter, "twice").await);
    assert_eq!(found(&world, &letter).await.map(|letter| letter.status), Some(Status::Replaying));
    assert_eq!(due(&world, 0).await, [waiting]);
}
