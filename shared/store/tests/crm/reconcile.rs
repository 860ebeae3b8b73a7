//! Reconciliations, as they are kept.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use rollcall_crm::pending::Reason;
use rollcall_crm::port::{LedgerStore, Overseer, PendingStore};
use rollcall_crm::reconcile::compare::Known;
use rollcall_crm::reconcile::work::{ReconcileStore, UserWalk};
use rollcall_crm::reconcile::{Class, Finding, Phase, Policy, Reconciliation, Repair};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{ReconciliationId, UserId};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::user::{Identity, User};
use rollcall_store::crm::{
    ChangeSender, FindingLister, PendingMarker, ReconcileWorker, ReconciliationStarter,
    ReconciliationViewer, Started, SyncOverseer,
};
use rollcall_store::users::UserDirectory;
use rollcall_store::{Capability, Tables};

use crate::world::{OnCrm, World};
use crate::{at, lease, mark, rows, user};

const USERS: usize = 70;

impl OnCrm for ReconcileWorker {
    fn crm(&self) -> std::sync::Arc<rollcall_store::crm::CrmTable> {
        self.table()
    }
}

fn acting<C: Capability>(world: &World) -> C {
    C::new(&Tables::new(&world.acting_as(type_name::<C>(), C::GRANTS), "dev"))
}

fn begun(seed: u64, policy: Policy) -> (Reconciliation, Entry) {
    let random = SeededRandom::new(seed);
    let id = ReconciliationId::new(at(0), &random);
    let run = Reconciliation::begin(id.clone(), policy, false, "client:test".to_owned(), at(0));
    let action = Action::ReconciliationStarted { policy: policy.as_str(), dry_run: false };
    let told = (Actor::Client("test".to_owned()), action, Subject::Reconciliation(id));
    let entry = Entry::new(told, "trace", at(0), &random);
    (run, entry)
}

async fn start(world: &World, seed: u64) -> Reconciliation {
    let (run, entry) = begun(seed, Policy::Repair);
    let started = acting::<ReconciliationStarter>(world).start(&run, &entry).await.unwrap();
    assert_eq!(started, Started::Begun);
    run
}

fn finding(number: usize) -> Finding {
    Finding {
        class: Class::ALL[number % Class::ALL.len()],
        user: Some(user()),
        contact_id: Some(number.to_string()),
        differences: BTreeMap::from([(Facet::Identity, vec!["firstname".to_owned()])]),
        repair: [
            Repair::None,
            Repair::Send(vec![Facet::Identity]),
            Repair::Remove,
            Repair::Release,
        ][number % 4]
            .clone(),
    }
}

/// The next page of `run`, on which these were found.
async fn page(world: &World, run: &Reconciliation, findings: &[Finding]) -> Reconciliation {
    let mut next = run.clone();
    next.pages += 1;
    next.version += 1;
    next.phase = Phase::Contacts;
    next.cursor = Some("here".to_owned());
    next.owing = Some(next.pages);
    next.counts.users += 100;
    *next.counts.found.entry(Class::Stale).or_default() += 1;
    let table = world.table::<ReconcileWorker>();
    assert!(table.commit(&next, findings).await.unwrap());
    assert_eq!(table.current().await.unwrap(), Some(next.clone()));
    assert_eq!(table.findings(&next, next.pages).await.unwrap(), findings);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_begin_one_does_and_when_it_is_through_another_can() {
    let world = World::start().await;
    let starter = acting::<ReconciliationStarter>(&world);
    let orders: Vec<_> = (1..=20).map(|seed| begun(seed, Policy::Report)).collect();
    let starting = orders.iter().map(|(run, entry)| starter.start(run, entry));
    let answers = join_all(starting).await;
    let began = answers.iter().filter(|answer| matches!(answer, Ok(Started::Begun))).count();
    assert_eq!(began, 1, "{answers:?}");
    let table = world.table::<ReconcileWorker>();
    let current = table.current().await.unwrap().unwrap();
    for busy in answers.into_iter().flatten() {
        assert!(busy == Started::Begun || busy == Started::Busy(current.id.clone()), "{busy:?}");
    }
    let viewer = acting::<ReconciliationViewer>(&world);
    assert_eq!(viewer.find(&current.id).await.unwrap(), Some(current.clone()));
    let last = Reconciliation { finished_at: Some(at(5)), version: 2, ..current.clone() };
    assert!(table.finish(&last).await.unwrap());
    assert!(!table.finish(&last).await.unwrap(), "it is through already");
    assert_eq!(table.current().await.unwrap(), None);
    assert_eq!(viewer.find(&current.id).await.unwrap(), Some(last));
    start(&world, 99).await;
    world.check_grants_are_used::<ReconciliationStarter>();
    world.check_grants_are_used::<ReconciliationViewer>();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_compare_a_page_one_stores_it() {
    let world = World::start().await;
    let run = start(&world, 1).await;
    let table = world.table::<ReconcileWorker>();
    let next = |place: u32| Reconciliation {
        pages: 1,
        version: 2,
        cursor: Some(place.to_string()),
        ..run.clone()
    };
    let pages: Vec<_> = (0..20).map(next).collect();
    let found = [finding(1)];
    let stored = join_all(pages.iter().map(|page| table.commit(page, &found))).await;
    let stored = stored.into_iter().filter(|stored| *stored.as_ref().unwrap()).count();
    assert_eq!(stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_listed_in_order_whatever_the_size_of_a_page() {
    let world = World::start().await;
    let mut run = start(&world, 1).await;
    let all: Vec<Finding> = (0..17).map(finding).collect();
    for part in [&all[0..5], &[], &all[5..6], &[], &[], &all[6..16], &all[16..17], &[]] {
        run = page(&world, &run, part).await;
    }
    let lister = acting::<FindingLister>(&world);
    for size in [1, 2, 3, 5, 6, 16, 17, 100] {
        let (mut findings, mut position, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = lister.list(&run.id, position.as_deref(), size).await.unwrap().unwrap();
            assert!(page.findings.len() <= size);
            findings.extend(page.findings);
            pages += 1;
            position = page.position;
            if position.is_none() {
                break;
            }
        }
        assert_eq!(findings, all, "{size}");
        assert!(pages <= all.len() + 1, "{size}: {pages} pages");
    }
    let (other, _) = begun(2, Policy::Report);
    assert_eq!(lister.list(&other.id, None, 10).await.unwrap(), None);
    assert!(lister.list(&run.id, Some("nowhere"), 10).await.is_err());
    world.check_grants_are_used::<FindingLister>();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_meets_every_user_once_whatever_the_size_of_a_page() {
    let world = World::start().await;
    let (random, directory) = (SeededRandom::new(3), UserDirectory::new(&world.operator()));
    let mut everybody = BTreeSet::new();
    for number in 0..USERS {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: number.to_string(),
            email: None,
            email_verified: false,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
        };
        let joined = User::join(identity, None, at(0), &random).unwrap();
        directory.join(&joined, "trace").await.unwrap();
        everybody.insert(joined.user.id);
    }
    let table = world.table::<ReconcileWorker>();
    for size in [1, 7, USERS - 1, USERS, USERS + 1, 1_000] {
        let (mut met, mut position) = (Vec::new(), None::<String>);
        loop {
            let page = table.users(position.as_deref(), size).await.unwrap();
            assert!(page.users.len() <= size);
            met.extend(page.users);
            position = page.next;
            if position.is_none() {
                break;
            }
        }
        assert_eq!(met.len(), USERS, "{size}");
        assert_eq!(met.into_iter().collect::<BTreeSet<UserId>>(), everybody);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_user_says_whether_something_is_on_its_way() {
    let world = World::start().await;
    let table = world.table::<ReconcileWorker>();
    let known = async |now_ms: i64| table.known(&user(), at(now_ms)).await.unwrap();
    assert_eq!(known(0).await, Known::default());
    let sender = world.table::<ChangeSender>();
    sender.take_lease(&user(), &lease("sender", 100), at(0)).await.unwrap();
    assert!(known(100).await.busy, "somebody sends");
    assert!(!known(101).await.busy, "and nobody heard the end of it");
    let waiting = mark(&user(), Facet::Learning, "waits", 0);
    world.table::<PendingMarker>().mark(&waiting).await.unwrap();
    assert!(known(101).await.busy, "something waits");
    table.force(&mark(&user(), Facet::Learning, "forced", 0)).await.unwrap();
    let row = &rows(&world, 0).await[0];
    assert_eq!((row.mark.as_str(), row.forced, row.reason), ("forced", true, Reason::Portal));
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_on_tables_go_as_far_as_they_are_older_than_the_comparison() {
    let world = World::start().await;
    let marker = world.table::<PendingMarker>();
    for (table, ms) in [("users", 0), ("enrollments", 50), ("progress", 0), ("progress", 70)] {
        marker.need_reconcile(table, at(ms)).await.unwrap();
    }
    let table = world.table::<ReconcileWorker>();
    table.compared_since(at(50)).await.unwrap();
    let overview = world.table::<SyncOverseer>().overview().await.unwrap();
    assert_eq!(overview.tables_to_reconcile, ["enrollments", "progress"]);
    table.compared_since(at(100)).await.unwrap();
    let overview = world.table::<SyncOverseer>().overview().await.unwrap();
    assert_eq!(overview.tables_to_reconcile, Vec::<String>::new());
}
