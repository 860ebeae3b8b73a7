//! What the projections get to see of a user.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::port::FacetSource;
use rollcall_domain::catalog::{Catalog, Course, Edition, Module};
use rollcall_domain::enrollment::{Target, enroll};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::progress::{LearningEvent, ModuleAction, record};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_domain::user::{Identity, User};
use rollcall_store::Capability;
use rollcall_store::catalog::{CatalogPublisher, CatalogReader, version_of};
use rollcall_store::crm::UserStates;
use rollcall_store::enrollments::EnrollmentWriter;
use rollcall_store::learner::{LearnerReader, LearnerRecorder};
use rollcall_store::users::{UserDirectory, UserReader};

use crate::world::World;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_262_400).unwrap()
    }
}

fn edition() -> Edition {
    let module = Module::new("a".parse().unwrap(), "A", Vec::new());
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
    let done = LearningEvent {
        action: ModuleAction::Completed,
        module: "a".parse().unwrap(),
        course: None,
    };
    let before = Learner::default();
    let changes = record(&before, &catalog, &[done], now).unwrap();
    let recorder = LearnerRecorder::new(&tables);
    recorder.store(&user.id, &before, &changes, now, "trace").await.unwrap();
    let target = Target::course("one".parse().unwrap());
    let enrollment = enroll(None, &target, Some("catalog"), now).unwrap();
    EnrollmentWriter::new(&tables).store(&user.id, &enrollment, "trace").await.unwrap();

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
