//! What a merge moves, against the local DynamoDB: nothing that somebody writes meanwhile is lost, and
//! nothing that was taken back returns.

#![cfg(test)]

#[path = "crm/world.rs"]
#[expect(dead_code, reason = "the world of the CRM's tests offers more than merges need")]
mod world;

use std::any::type_name;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join;
use rollcall_domain::attempt::OpenAttempt;
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::badge::{Badge, BadgeKind, BadgeName};
use rollcall_domain::catalog::{Catalog, CatalogVersion, QuizName};
use rollcall_domain::certificate::{Certificate, CertificateKind, CertificateName, Earned};
use rollcall_domain::id::{AttemptId, UserId};
use rollcall_domain::learning::Learner;
use rollcall_domain::port::PortErrorClass;
use rollcall_domain::progress::{Changes, ModuleProgress, Review, TaskRecord};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::{Identity, User};
use rollcall_store::attempts::AttemptStarter;
use rollcall_store::badges::{BadgeGiver, BadgeLister, BadgeTaker, Given};
use rollcall_store::certificates::{
    CertificateAwarder, CertificateFinder, CertificateLister, CertificateRevoker, Held,
    StatusListReader,
};
use rollcall_store::learner::{TaskRecorder, Write};
use rollcall_store::merge::{MergeFinisher, Moving};
use rollcall_store::users::UserDirectory;
use rollcall_store::{Capability, Tables};

use world::World;

/// Two accounts of one person, the second of which becomes the first.
struct Twins {
    world: World,
    into: UserId,
    from: UserId,
    /// How many entries the audit log has.
    entries: AtomicU64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn joined(world: &World, seed: u64) -> UserId {
    let identity = Identity {
        issuer: "https://provider.example".to_owned(),
        subject: seed.to_string(),
        email: None,
        email_verified: false,
        given_name: String::new(),
        family_name: String::new(),
        roles: Vec::new(),
    };
    let joined = User::join(identity, None, at(1), &SeededRandom::new(seed)).unwrap();
    UserDirectory::new(&world.operator()).join(&joined, "trace").await.unwrap();
    joined.user.id
}

impl Twins {
    async fn start() -> Self {
        let world = World::start().await;
        let (into, from) = (joined(&world, 1).await, joined(&world, 2).await);
        Self { world, into, from, entries: AtomicU64::default() }
    }

    fn can<C: Capability>(&self) -> C {
        C::new(&Tables::new(&self.world.acting_as(type_name::<C>(), C::GRANTS), "dev"))
    }

    fn moving(&self) -> Moving<'_> {
        Moving { from: &self.from, into: &self.into, now: at(100), trace_id: "trace" }
    }

    async fn award(&self, user: &UserId, seed: u64) -> Certificate {
        let earned = Earned {
            name: CertificateName { kind: CertificateKind::Course, slug: slug("one") },
            catalog: CatalogVersion::default(),
            evidence: Vec::new(),
            earned_at: at(5),
        };
        let (catalog, ids) = (Catalog::default(), SeededRandom::new(seed));
        let make =
            |place| Certificate::award(earned.clone(), [&catalog, &catalog], place, at(6), &ids);
        let (random, awarder) = (SeededRandom::new(seed), self.can::<CertificateAwarder>());
        awarder.award(user, make, &random, (at(6), "trace")).await.unwrap().unwrap()
    }

    async fn revoke(&self, certificate: &Certificate, user: &UserId) {
        let revoked = certificate.revoke("a mistake", at(50)).unwrap();
        let held = Held { user: user.clone(), certificate: revoked };
        let action = Action::CertificateRevoked { user: user.clone() };
        let entry = self.entry(action, Subject::Certificate(certificate.id.clone()));
        self.can::<CertificateRevoker>().revoke(&held, &entry, (at(50), "trace")).await.unwrap();
    }

    fn entry(&self, action: Action, subject: Subject) -> Entry {
        let random = SeededRandom::new(self.entries.fetch_add(1, Ordering::Relaxed));
        let actor = Actor::User(UserId::new(at(1), &SeededRandom::new(9)));
        Entry::new((actor, action, subject), "trace", at(50), &random)
    }

    async fn certificates(&self, user: &UserId) -> Vec<Certificate> {
        self.can::<CertificateLister>().all(user).await.unwrap()
    }

    async fn revoked(&self) -> BTreeSet<u32> {
        self.can::<StatusListReader>().find(1).await.unwrap().unwrap().revoked
    }

    async fn give(&self, user: &UserId) {
        let badge = Badge { name: by_hand(), earned_at: at(7), given_by: None, is_history: false };
        let action = Action::BadgeGranted { badge: slug("helper") };
        let entry = self.entry(action, Subject::User(user.clone()));
        let given = self.can::<BadgeGiver>().give(user, &badge, &entry).await.unwrap();
        assert_eq!(given, Given::Now);
    }

    async fn take_back(&self, user: &UserId) -> bool {
        let action = Action::BadgeTakenBack { badge: slug("helper") };
        let entry = self.entry(action, Subject::User(user.clone()));
        self.can::<BadgeTaker>().take_back(user, &slug("helper"), &entry).await.unwrap()
    }

    async fn badges(&self, user: &UserId) -> usize {
        self.can::<BadgeLister>().all(user).await.unwrap().len()
    }

    /// Stores where the lab of somebody stands, on top of what was read.
    async fn record(
        &self,
        user: &UserId,
        before: &Learner,
        review: Option<Review>,
    ) -> Result<(), PortErrorClass> {
        let mut module = ModuleProgress::begun(slug("module"), at(10));
        let record = TaskRecord {
            attempts: 1,
            best_score: None,
            done_at: review.is_none().then(|| at(40)),
            last_at: at(10),
            failed_at: None,
            evidence_url: None,
            grading: None,
            review,
        };
        module.tasks.insert(slug("lab"), record);
        let changes = Changes { modules: vec![module], ..Changes::default() };
        let write = Write { user, before, now: at(40), trace_id: "trace" };
        let recorder: TaskRecorder = self.can();
        recorder.store(write, &changes).await.map_err(|error| error.class)
    }

    async fn learner(&self, user: &UserId) -> Learner {
        self.can::<TaskRecorder>().load(user).await.unwrap()
    }

    /// Moves what was read of both; whether neither had changed.
    async fn move_learning(&self, own: &Learner, theirs: &Learner) -> Result<(), PortErrorClass> {
        let changes = rollcall_domain::merge::learning(own, theirs, &Catalog::default(), at(100));
        let finisher: MergeFinisher = self.can();
        let moved = finisher.move_learning(self.moving(), own, &changes, theirs).await;
        moved.map_err(|error| error.class)
    }
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn by_hand() -> BadgeName {
    BadgeName { kind: BadgeKind::ByHand, slug: slug("helper") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_revoked_while_it_moves_is_revoked() {
    let twins = Twins::start().await;
    let Twins { world, into, from, .. } = &twins;
    let certificate = twins.award(from, 1).await;
    let finisher: MergeFinisher = twins.can();
    let mut held = world.database.faults().hold_next("TransactWriteItems", from.as_str());
    let revoking = async {
        assert!(held.arrived().await, "it was read, and is not moved yet");
        twins.revoke(&certificate, from).await;
        drop(held);
    };
    let (moved, ()) = join(finisher.move_certificates(twins.moving()), revoking).await;
    assert!(moved.unwrap(), "what changed is read again");
    assert!(finisher.move_certificates(twins.moving()).await.unwrap());
    assert!(!finisher.move_certificates(twins.moving()).await.unwrap());
    let [moved] = twins.certificates(into).await.try_into().unwrap();
    assert_eq!(moved.id, certificate.id);
    assert!(moved.revocation.is_some(), "{moved:?}");
    assert_eq!(twins.revoked().await, BTreeSet::from([certificate.place.index]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_goes_in_a_merge_counts_no_more() {
    for (own_is_revoked, their_is_revoked) in [(true, false), (false, false), (false, true)] {
        let twins = Twins::start().await;
        let Twins { into, from, .. } = &twins;
        let (own, their) = (twins.award(into, 1).await, twins.award(from, 2).await);
        let mut expected = BTreeSet::from([their.place.index]);
        if own_is_revoked {
            twins.revoke(&own, into).await;
            expected.insert(own.place.index);
        }
        if their_is_revoked {
            twins.revoke(&their, from).await;
        }
        let finisher: MergeFinisher = twins.can();
        assert!(finisher.move_certificates(twins.moving()).await.unwrap());
        assert!(!finisher.move_certificates(twins.moving()).await.unwrap());
        assert_eq!(twins.certificates(into).await.len(), 1);
        assert_eq!(twins.can::<CertificateFinder>().find(&their.id).await.unwrap(), None);
        assert_eq!(twins.revoked().await, expected);
        let list = twins.can::<StatusListReader>().find(1).await.unwrap().unwrap();
        let changed_at = if their_is_revoked { at(50) } else { at(100) };
        assert_eq!(list.changed_at, Some(changed_at), "a place is revoked once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_found_while_a_merge_moves_it() {
    let twins = Twins::start().await;
    let Twins { world, into, from, .. } = &twins;
    let certificate = twins.award(from, 1).await;
    let (finder, finisher): (CertificateRevoker, MergeFinisher) = (twins.can(), twins.can());
    // Between what the index says and the item.
    let mut held = world.database.faults().hold_next("GetItem", "certificate#course#one");
    let moving = async {
        assert!(held.arrived().await);
        assert!(finisher.move_certificates(twins.moving()).await.unwrap());
        drop(held);
    };
    let (found, ()) = join(finder.find(&certificate.id), moving).await;
    let found = found.unwrap().expect("it was there all the time");
    assert_eq!((&found.user, found.certificate.id), (into, certificate.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_that_is_taken_back_during_a_merge_does_not_return() {
    for both_have_it in [false, true] {
        let twins = Twins::start().await;
        let Twins { into, from, .. } = &twins;
        twins.give(from).await;
        if both_have_it {
            twins.give(into).await;
        }
        let finisher: MergeFinisher = twins.can();
        assert!(finisher.move_given_badges(twins.moving()).await.unwrap());
        assert_eq!((twins.badges(into).await, twins.badges(from).await), (1, 0));
        assert!(twins.take_back(into).await);
        // A round that died is followed by one that begins again.
        assert!(!finisher.move_given_badges(twins.moving()).await.unwrap());
        assert_eq!(twins.badges(into).await, 0, "both had it: {both_have_it}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_attempt_is_one_accounts_at_a_time() {
    let twins = Twins::start().await;
    let Twins { into, from, .. } = &twins;
    let name = QuizName { module: slug("module"), quiz: slug("quiz") };
    let attempt = OpenAttempt {
        id: AttemptId::new(at(20), &SeededRandom::new(3)),
        name: name.clone(),
        version: CatalogVersion::default(),
        started_at: at(20),
    };
    let starter: AttemptStarter = twins.can();
    let before = Learner::default();
    let write = Write { user: from, before: &before, now: at(20), trace_id: "trace" };
    starter.start(write, &Changes::default(), &attempt, None).await.unwrap();
    let finisher: MergeFinisher = twins.can();
    assert!(finisher.move_open_attempts(twins.moving()).await.unwrap());
    assert_eq!(starter.open(into, &name).await.unwrap(), Some(attempt));
    // What the survivor submits is not brought back by a round that begins again.
    assert_eq!(starter.open(from, &name).await.unwrap(), None);
    assert!(!finisher.move_open_attempts(twins.moving()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_validator_says_while_learning_moves_is_not_lost() {
    let twins = Twins::start().await;
    let Twins { into, from, .. } = &twins;
    let pending = Some(Review::Pending(at(10)));
    twins.record(from, &Learner::default(), pending).await.unwrap();
    // It says so after the other account was read and before it is moved,
    let (own, theirs) = (twins.learner(into).await, twins.learner(from).await);
    twins.record(from, &theirs, None).await.unwrap();
    assert_eq!(twins.move_learning(&own, &theirs).await, Err(PortErrorClass::Conflict));
    assert_eq!(twins.learner(into).await, own, "nothing is stored");
    let theirs = twins.learner(from).await;
    twins.move_learning(&own, &theirs).await.unwrap();
    let moved = twins.learner(into).await;
    assert_eq!(moved.modules[&slug("module")].tasks[&slug("lab")].done_at, Some(at(40)));
    // or after it was moved, on top of what was there before.
    let late = twins.record(from, &theirs, None).await;
    assert_eq!(late, Err(PortErrorClass::Conflict));
    assert!(twins.learner(from).await.modules.is_empty(), "nothing is left behind");
}
