//! What the projections get to see of a user.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::port::FacetSource;
use rollcall_domain::catalog::{Catalog, Course, Edition, Module, Task, Terms};
use rollcall_domain::enrollment::{Target, enroll};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::progress::{TaskOutcome, perform};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_domain::user::{Identity, User};
use rollcall_store::Capability;
use rollcall_store::badges::BadgeLister;
use rollcall_store::catalog::{CatalogPublisher, CatalogReader, version_of};
use rollcall_store::certificates::CertificateLister;
use rollcall_store::crm::UserStates;
use rollcall_store::enrollments::EnrollmentWriter;
use rollcall_store::learner::{LearnerReader, LearnerRecorder, Write};
use rollcall_store::users::{UserDirectory, UserReader};

use crate::world::World;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_262_400).unwrap()
    }
}

fn edition() -> Edition {
    let module = Module::new("a".parse().unwrap(), "A", vec![Task::lab("x".parse().unwrap())]);
    let texts = BTreeMap::from([(module.slug.clone(), "# A".to_owned())]);
    let course = Course::new("one".parse().unwrap(), "One", vec![module.slug.clone()]);
    let catalog = Catalog::new(Vec::new(), vec![course], vec![module]).unwrap();
    Edition::new(catalog, texts, BTreeMap::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_everything_that_was_stored_about_a_user() {
    let world = World::start().await;
    let (tables, edition, now) = (world.operator(), edition(), Noon.now());
    let states = UserStates {
        users: UserReader::new(&tables),
        learners: LearnerReader::new(&tables),
        badges: BadgeLister::new(&tables),
        certificates: CertificateLister::new(&tables),
        catalog: CatalogReader::new(&tables),
        clock: Arc::new(Noon),
    };
    CatalogPublisher::new(&tables).publish(&edition, now).await.unwrap();
    let catalog = edition.catalog.clone().published_as(version_of(&edition).unwrap());
    let identity = Identity {
        issuer: "https://provider.example".to_owned(),
        subject: "1".to_owned(),
        email: Some("ada@example.org".to_owned()),
        email_verified: true,
        given_name: "Ada".to_owned(),
        family_name: "Lovelace".to_owned(),
        roles: Vec::new(),
    };
    let joined = User::join(identity, None, now, &SeededRandom::new(1)).unwrap();
    UserDirectory::new(&tables).join(&joined, "trace").await.unwrap();
    let user = joined.user;
    let before = Learner::default();
    let module = catalog.module(&"a".parse().unwrap()).unwrap();
    let outcome = TaskOutcome::Attested(Some("https://example.org/proof".to_owned()));
    let changes = perform(&before, &catalog, module, &module.tasks[0], &outcome, now);
    let recorder = LearnerRecorder::new(&tables);
    let write = Write { user: &user.id, before: &before, now, trace_id: "trace" };
    recorder.store(write, &changes).await.unwrap();
    let target = Target::course("one".parse().unwrap());
    let enrollment = enroll(None, &target, &Terms::default(), Some("catalog"), now).unwrap();
    let enrolling = EnrollmentWriter::new(&tables);
    enrolling.store(&user.id, None, &enrollment, 0, "trace").await.unwrap();

    let state = states.load(&user.id).await.unwrap().unwrap();
    let mut learner = Learner { version: 1, ..Learner::default() };
    learner.enrollments.insert(target, enrollment);
    learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
    learner.completions.extend(changes.completions.into_iter().map(|c| (c.target.clone(), c)));
    assert_eq!(learner.completions.len(), 1);
    assert_eq!((state.user, state.learner, &*state.catalog), (user, learner, &catalog));
    let nobody = UserId::new(now, &SeededRandom::new(2));
    assert!(states.load(&nobody).await.unwrap().is_none());
}
