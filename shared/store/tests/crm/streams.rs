//! Reading again what a failed batch was about.

use rollcall_domain::badge::{Badge, BadgeKind, BadgeName};
use rollcall_domain::catalog::{Catalog, CatalogVersion, Terms};
use rollcall_domain::certificate::{Certificate, CertificateKind, CertificateName, Earned};
use rollcall_domain::enrollment::{Target, enroll};
use rollcall_domain::learning::Learner;
use rollcall_domain::progress::Changes;
use rollcall_domain::random::SeededRandom;
use rollcall_domain::user::{Identity, User};
use rollcall_resources::Table;
use rollcall_store::Capability;
use rollcall_store::badges::BadgeAwarder;
use rollcall_store::certificates::CertificateAwarder;
use rollcall_store::enrollments::EnrollmentWriter;
use rollcall_store::learner::{LearnerRecorder, Write};
use rollcall_store::streams::{Change, Reread, StreamRange, StreamReader};
use rollcall_store::users::UserDirectory;
use serde_dynamo::Item;
use serde_json::Value;

use crate::world::World;

const USERS: usize = 40;
const READER: &str = "reader";

/// Makes users who enrol in two courses, learn and get a badge and a certificate.
async fn fill(world: &World) {
    let tables = world.operator();
    let (random, now) = (SeededRandom::new(3), world.clock.now());
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
        let joined = User::join(identity, None, now, &random).unwrap();
        UserDirectory::new(&tables).join(&joined, "trace").await.unwrap();
        let user = joined.user;
        for course in ["one", "two"] {
            let target = Target::course(course.parse().unwrap());
            let enrollment = enroll(None, &target, &Terms::default(), None, now).unwrap();
            let writer = EnrollmentWriter::new(&tables);
            writer.store(&user.id, None, &enrollment, 0, "trace").await.unwrap();
        }
        let (recorder, learner) = (LearnerRecorder::new(&tables), Learner::default());
        let write = Write { user: &user.id, before: &learner, now, trace_id: "trace" };
        recorder.store(write, &Changes::default()).await.unwrap();
        let name = BadgeName { kind: BadgeKind::Course, slug: "one".parse().unwrap() };
        let badge = Badge { name, earned_at: now, given_by: None, is_history: false };
        BadgeAwarder::new(&tables).award(&user.id, &badge, (now, "trace")).await.unwrap();
        let earned = Earned {
            name: CertificateName { kind: CertificateKind::Course, slug: "one".parse().unwrap() },
            catalog: CatalogVersion::default(),
            evidence: Vec::new(),
            earned_at: now,
        };
        let catalog = Catalog::default();
        let at = |place| Certificate::award(earned.clone(), [&catalog; 2], place, now, &random);
        let awarder = CertificateAwarder::new(&tables);
        awarder.award(&user.id, at, &random, (now, "trace")).await.unwrap().unwrap();
    }
}

/// The fullest shard of a stream and its records.
fn fullest(world: &World, table: &str) -> (String, Vec<Value>) {
    let shards = world.database.shards(table).into_iter();
    let records = shards.map(|shard| {
        let records = world.database.read_stream(table, &shard, None, 1_000).unwrap();
        (shard, records)
    });
    records.max_by_key(|(_, records)| records.len()).unwrap()
}

fn sequence(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()
}

/// The same records as the reader hands them out: every one, with both images.
#[track_caller]
fn check(reread: Reread, records: &[Value]) {
    let Reread::Changed(changes) = reread else { panic!("gone") };
    assert_eq!(changes.len(), records.len());
    for (change, record) in changes.into_iter().zip(records) {
        let record = &record["dynamodb"];
        let image = |name: &str| record.get(name).map(|image| item(image.clone()));
        let expected = Change {
            keys: item(record["Keys"].clone()),
            before: image("OldImage"),
            after: image("NewImage"),
        };
        assert_eq!(change, expected);
    }
}

fn item(image: Value) -> Item {
    serde_json::from_value(image).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_read_again_exactly_or_said_to_be_gone() {
    let world = World::start().await;
    fill(&world).await;
    let reader = StreamReader::new(&world.acting_as(READER, StreamReader::GRANTS));
    for table in
        [Table::Users, Table::Enrollments, Table::Progress, Table::Badges, Table::Certificates]
    {
        let table = table.full_name("dev");
        let (shard_id, records) = fullest(&world, &table);
        let stream_arn = world.database.stream_arn(&table).unwrap();
        let range = |first: usize, last: usize| StreamRange {
            stream_arn: stream_arn.clone(),
            shard_id: shard_id.clone(),
            first: sequence(&records[first]),
            last: sequence(&records[last]),
        };
        let end = records.len() - 1;
        assert!(end > 4, "there is something to leave out on both sides");
        for (first, last) in [(2, end - 1), (2, 2), (0, end)] {
            check(reader.reread(&range(first, last)).await.unwrap(), &records[first..=last]);
        }
        let elsewhere = StreamRange { shard_id: "shardId-x".to_owned(), ..range(2, end) };
        assert_eq!(reader.reread(&elsewhere).await.unwrap(), Reread::Gone);
        world.database.faults().trim_stream(&table, &sequence(&records[3])).unwrap();
        assert_eq!(reader.reread(&range(2, end)).await.unwrap(), Reread::Gone);
        check(reader.reread(&range(3, end)).await.unwrap(), &records[3..]);
    }
    world.check_uses(READER, StreamReader::GRANTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_place_expired_goes_on_from_what_it_read() {
    let world = World::start().await;
    fill(&world).await;
    let reader = StreamReader::new(&world.acting_as(READER, StreamReader::GRANTS));
    let table = Table::Users.full_name("dev");
    let (shard_id, records) = fullest(&world, &table);
    let range = StreamRange {
        stream_arn: world.database.stream_arn(&table).unwrap(),
        shard_id,
        first: sequence(&records[1]),
        last: sequence(&records[records.len() - 1]),
    };
    let mut held = world.database.faults().hold_next("GetRecords", "ShardIterator");
    let reading = tokio::spawn(async move { reader.reread(&range).await });
    assert!(held.arrived().await);
    // The next try comes with a place that was good for a quarter of an hour.
    world.clock.advance(std::time::Duration::from_mins(16));
    drop(held);
    check(reading.await.unwrap().unwrap(), &records[1..]);
}
