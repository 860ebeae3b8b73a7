//! The table `progress`: under `user#{id}`, an item `module#{slug}` per module, an item
//! `completion#{kind}#{slug}` per completed course or pathway, and `learner`, whose version every
//! write of progress raises: two writes that do not see each other cannot both succeed, so no
//! completion falls between them (fault D6).

use jiff::Timestamp;
use rollcall_domain::enrollment::Target;
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::PortError;
use rollcall_domain::progress::{Changes, Completion, ModuleProgress};
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::enrollments::{self, EnrollmentItem};
use crate::error::corrupt;
use crate::tables::{Tables, capability};

const HEAD: &str = "learner";

#[derive(Debug, Serialize, Deserialize)]
struct Keys {
    pk: String,
    sk: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// The items of a user's partition; which one it is shows in the sort key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record {
    Learner,
    Module { slug: Slug, started_at: Timestamp, completed_at: Option<Timestamp> },
    Completion { kind: String, slug: Slug, modules: Vec<Slug>, completed_at: Timestamp },
}

#[derive(Debug, Serialize, Deserialize)]
struct ProgressItem {
    #[serde(flatten)]
    keys: Keys,
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(flatten)]
    record: Record,
}

fn partition(user: &UserId) -> String {
    format!("user#{user}")
}

async fn load(tables: &Tables, user: &UserId) -> Result<Learner, PortError> {
    let mut learner = Learner::default();
    for enrollment in enrollments::all(tables, user).await? {
        learner.enrollments.insert(enrollment.target.clone(), enrollment);
    }
    let items: Vec<ProgressItem> =
        tables.query(Table::Progress, &partition(user), "", RECORDS_PER_USER_MAX).await?;
    for item in items {
        match item.record {
            Record::Learner => learner.version = item.stamp.version,
            Record::Module { slug, started_at, completed_at } => {
                let progress = ModuleProgress { module: slug.clone(), started_at, completed_at };
                learner.modules.insert(slug, progress);
            }
            Record::Completion { kind, slug, modules, completed_at } => {
                let kind = kind.parse().map_err(corrupt("decode a completion"))?;
                let target = Target { kind, slug };
                let completion = Completion { target: target.clone(), modules, completed_at };
                learner.completions.insert(target, completion);
            }
        }
    }
    Ok(learner)
}

capability! {
    /// Reads everything a user did in the catalogue.
    LearnerReader,
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query"])
}

impl LearnerReader {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        load(&self.tables, user).await
    }
}

capability! {
    /// Records what a user does in the catalogue.
    LearnerRecorder,
    Grant::table(Table::Enrollments, &["dynamodb:Query", "dynamodb:PutItem"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"])
}

impl LearnerRecorder {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        load(&self.tables, user).await
    }

    /// Stores all changes or none; `Conflict` when the learner changed since `before` was loaded.
    pub async fn store(
        &self,
        user: &UserId,
        before: &Learner,
        changes: &Changes,
        now: Timestamp,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let item = |sk: String, version: u64, record: Record| ProgressItem {
            keys: Keys { pk: partition(user), sk },
            stamp: Stamp { version, updated_at: now, trace_id: trace_id.to_owned() },
            record,
        };
        let version = before.version + 1;
        let head = item(HEAD.to_owned(), version, Record::Learner);
        let mut parts = vec![self.tables.put_version_part(Table::Progress, &head, version)?];
        for module in &changes.modules {
            let existed = before.modules.contains_key(&module.module);
            let version = if existed { 2 } else { 1 };
            let record = Record::Module {
                slug: module.module.clone(),
                started_at: module.started_at,
                completed_at: module.completed_at,
            };
            let item = item(format!("module#{}", module.module), version, record);
            parts.push(self.tables.put_version_part(Table::Progress, &item, version)?);
        }
        for completion in &changes.completions {
            let Target { kind, slug } = completion.target.clone();
            let sk = format!("completion#{kind}#{slug}");
            let record = Record::Completion {
                kind: kind.as_str().to_owned(),
                slug,
                modules: completion.modules.clone(),
                completed_at: completion.completed_at,
            };
            let item = item(sk, 1, record);
            parts.push(self.tables.put_version_part(Table::Progress, &item, 1)?);
        }
        for enrollment in &changes.enrollments {
            let item = EnrollmentItem::new(user, enrollment, trace_id);
            let version = enrollment.version;
            parts.push(self.tables.put_version_part(Table::Enrollments, &item, version)?);
        }
        self.tables.transact("store progress", parts).await
    }
}
