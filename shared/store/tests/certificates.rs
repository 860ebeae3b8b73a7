//! Certificates against the local DynamoDB, over HTTP, with the real client, under exactly the
//! permissions that each capability declares.

#![cfg(test)]

#[path = "crm/world.rs"]
#[expect(dead_code, reason = "the world of the CRM's tests offers more than certificates need")]
mod world;

use std::any::type_name;

use futures::future::join_all;
use rollcall_domain::catalog::{Catalog, CatalogVersion};
use rollcall_domain::certificate::{Certificate, CertificateKind, CertificateName, Earned};
use rollcall_domain::id::UserId;
use rollcall_domain::random::{Random, SeededRandom};
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::{Identity, User};
use rollcall_store::certificates::{CertificateAwarder, CertificateFinder, StatusListReader};
use rollcall_store::users::UserDirectory;
use rollcall_store::{Capability, Tables};

use world::World;

fn can<C: Capability>(world: &World) -> C {
    C::new(&Tables::new(&world.acting_as(type_name::<C>(), C::GRANTS), "dev"))
}

/// Draws the same place again and again.
struct Stuck;

impl Random for Stuck {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn joined(world: &World, subject: &str) -> UserId {
    let identity = Identity {
        issuer: "https://provider.example".to_owned(),
        subject: subject.to_owned(),
        email: None,
        email_verified: false,
        given_name: String::new(),
        family_name: String::new(),
        roles: Vec::new(),
    };
    let seed = subject.bytes().map(u64::from).sum();
    let joined = User::join(identity, None, at(1), &SeededRandom::new(seed)).unwrap();
    UserDirectory::new(&world.operator()).join(&joined, "trace").await.unwrap();
    joined.user.id
}

/// Awards a course's certificate at a place that `random` draws.
async fn award(world: &World, user: &UserId, random: &dyn Random) -> Option<Certificate> {
    let catalog = Catalog::default();
    let earned = Earned {
        name: CertificateName { kind: CertificateKind::Course, slug: "one".parse().unwrap() },
        catalog: CatalogVersion::default(),
        evidence: Vec::new(),
        earned_at: at(5),
    };
    let ids = SeededRandom::new(9);
    let make = |place| Certificate::award(earned.clone(), [&catalog, &catalog], place, at(6), &ids);
    let awarder: CertificateAwarder = can(world);
    awarder.award(user, make, random, (at(6), "trace")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_free_places_is_followed_by_the_next_one() {
    let world = World::start().await;
    let lists: StatusListReader = can(&world);
    assert_eq!(lists.find(2).await.unwrap(), None);
    let mut places = Vec::new();
    for subject in ["a", "b", "c"] {
        let user = joined(&world, subject).await;
        places.push(award(&world, &user, &Stuck).await.unwrap().place);
    }
    let found: Vec<u32> = places.iter().map(|place| place.list).collect();
    assert_eq!(found, [1, 2, 3], "no two certificates have one place");
    assert!(lists.find(3).await.unwrap().is_some());
    assert_eq!(lists.find(4).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn c_07_of_fifty_awards_at_once_one_is_stored_and_that_one_is_told() {
    let world = World::start().await;
    let user = joined(&world, "a").await;
    let seeds: Vec<SeededRandom> = (0..50).map(SeededRandom::new).collect();
    let awarding = seeds.iter().map(|random| award(&world, &user, random));
    let told: Vec<Certificate> = join_all(awarding).await.into_iter().flatten().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let finder: CertificateFinder = can(&world);
    assert_eq!(finder.find(&told[0].id).await.unwrap().as_ref(), told.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_user_gets_no_certificate() {
    let world = World::start().await;
    let nobody = UserId::new(at(1), &SeededRandom::new(1));
    assert_eq!(award(&world, &nobody, &SeededRandom::new(1)).await, None);
}
