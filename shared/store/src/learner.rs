//! The table `progress`: under `user#{id}`, an item `module#{slug}` per module, an item
//! `completion#{kind}#{slug}` per completed course or pathway, and `learner`, whose version every
//! write of progress raises: two writes that do not see each other cannot both succeed, so no
//! completion falls between them (fault D6).

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::audit::Entry;
use rollcall_domain::catalog::CatalogVersion;
use rollcall_domain::enrollment::Target;
use rollcall_domain::id::UserId;
use rollcall_domain::import::{Undo, Written};
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::progress::{
    Changes, Completion, ModuleCompletion, ModuleProgress, PageView, TaskRecord,
};
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::enrollments::{self, EnrollmentItem};
use crate::error::corrupt;
use crate::item::key;
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::Applied;
use crate::{audit, users};

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
    /// By which import the item was written, if its last write was one: what an earlier system told is
    /// no milestone of today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    import: Option<Slug>,
}

/// The items of a user's partition; which one it is shows in the sort key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record {
    Learner {
        #[serde(default)]
        viewed: Option<PageView>,
    },
    Module {
        slug: Slug,
        started_at: Timestamp,
        completed_at: Option<Timestamp>,
        #[serde(default)]
        completed_catalog: CatalogVersion,
        #[serde(default)]
        completed_tasks: Vec<Slug>,
        #[serde(default)]
        tasks: BTreeMap<Slug, TaskRecord>,
    },
    Completion {
        kind: String,
        slug: Slug,
        #[serde(default)]
        catalog: CatalogVersion,
        modules: Vec<Slug>,
        completed_at: Timestamp,
    },
    /// What an import wrote, for who wants to undo it.
    Import {
        at: Timestamp,
        #[serde(default)]
        enrollments: Vec<(String, Slug, Timestamp)>,
        #[serde(default)]
        started: BTreeMap<Slug, Timestamp>,
        #[serde(default)]
        completed: BTreeMap<Slug, Timestamp>,
        #[serde(default)]
        completions: Vec<(String, Slug, Timestamp)>,
    },
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

pub(crate) async fn load(tables: &Tables, user: &UserId) -> Result<Learner, PortError> {
    let mut learner = Learner::default();
    for enrollment in enrollments::all(tables, user).await? {
        learner.enrollments.insert(enrollment.target.clone(), enrollment);
    }
    let items: Vec<ProgressItem> =
        tables.query(Table::Progress, &partition(user), "", RECORDS_PER_USER_MAX).await?;
    for item in items {
        match item.record {
            Record::Learner { viewed } => {
                learner.version = item.stamp.version;
                learner.viewed = viewed;
            }
            Record::Module {
                slug,
                started_at,
                completed_at,
                completed_catalog,
                completed_tasks,
                tasks,
            } => {
                let completion = completed_at.map(|completed_at| ModuleCompletion {
                    completed_at,
                    version: completed_catalog,
                    tasks: completed_tasks,
                });
                let module = slug.clone();
                let progress = ModuleProgress { module, started_at, completion, tasks };
                learner.modules.insert(slug, progress);
            }
            Record::Completion { kind, slug, catalog, modules, completed_at } => {
                let kind = kind.parse().map_err(corrupt("decode a completion"))?;
                let target = Target { kind, slug };
                let completion =
                    Completion { target: target.clone(), version: catalog, modules, completed_at };
                learner.completions.insert(target, completion);
            }
            Record::Import { .. } => {}
        }
    }
    Ok(learner)
}

/// A write of progress: whose, on top of what, when, and for which trace.
#[derive(Clone, Copy, Debug)]
pub struct Write<'write> {
    /// The user.
    pub user: &'write UserId,
    /// The learner as it was loaded; the write fails when that changed in between.
    pub before: &'write Learner,
    /// Now.
    pub now: Timestamp,
    /// The id that the change carries to the CRM.
    pub trace_id: &'write str,
}

/// All changes, as parts of a transaction. The first of them fails when the learner changed since
/// it was loaded, so the others need no conditions of their own.
pub(crate) fn parts(
    tables: &Tables,
    write: Write<'_>,
    changes: &Changes,
) -> Result<Vec<TransactWriteItem>, PortError> {
    parts_of(tables, write, changes, None)
}

/// As [`parts`], by an import of this name.
fn parts_of(
    tables: &Tables,
    write: Write<'_>,
    changes: &Changes,
    import: Option<&Slug>,
) -> Result<Vec<TransactWriteItem>, PortError> {
    let Write { user, before, now, trace_id } = write;
    let version = before.version + 1;
    let item = |sk: String, record: Record| ProgressItem {
        keys: Keys { pk: partition(user), sk },
        stamp: Stamp {
            version,
            updated_at: now,
            trace_id: trace_id.to_owned(),
            import: import.cloned(),
        },
        record,
    };
    let viewed = changes.viewed.clone().or_else(|| before.viewed.clone());
    let head = item(HEAD.to_owned(), Record::Learner { viewed });
    let mut parts = vec![tables.put_version_part(Table::Progress, &head, version)?];
    for module in &changes.modules {
        let completion = module.completion.clone();
        let completed_at = completion.as_ref().map(|completion| completion.completed_at);
        let (completed_catalog, completed_tasks) =
            completion.map(|completion| (completion.version, completion.tasks)).unwrap_or_default();
        let record = Record::Module {
            slug: module.module.clone(),
            started_at: module.started_at,
            completed_at,
            completed_catalog,
            completed_tasks,
            tasks: module.tasks.clone(),
        };
        let item = item(module_key(&module.module), record);
        parts.push(tables.put_part(Table::Progress, &item)?);
    }
    for completion in &changes.completions {
        let sk = completion_key(&completion.target);
        let Target { kind, slug } = completion.target.clone();
        let record = Record::Completion {
            kind: kind.as_str().to_owned(),
            slug,
            catalog: completion.version.clone(),
            modules: completion.modules.clone(),
            completed_at: completion.completed_at,
        };
        parts.push(tables.put_part(Table::Progress, &item(sk, record))?);
    }
    for enrollment in &changes.enrollments {
        let item = EnrollmentItem::new(user, enrollment, trace_id).of_import(import);
        let version = enrollment.version;
        parts.push(tables.put_version_part(Table::Enrollments, &item, version)?);
    }
    Ok(parts)
}

/// The removal of the modules and completions of `part`, which are there, as parts of a transaction.
pub(crate) fn removal_parts(
    tables: &Tables,
    user: &UserId,
    part: &Learner,
) -> Result<Vec<TransactWriteItem>, PortError> {
    let modules = part.modules.keys().map(module_key);
    let sorts = modules.chain(part.completions.keys().map(completion_key));
    let removal = |sort: String| -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder()
            .table_name(tables.name(Table::Progress))
            .set_key(Some(key(&partition(user), &sort)))
            .condition_expression("attribute_exists(pk)");
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    };
    sorts.map(removal).collect()
}

fn module_key(module: &Slug) -> String {
    format!("module#{module}")
}

fn completion_key(target: &Target) -> String {
    format!("completion#{}#{}", target.kind, target.slug)
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
    /// Records what a user does in the catalogue, which may enrol the user.
    LearnerRecorder,
    Grant::table(Table::Enrollments, &["dynamodb:Query", "dynamodb:PutItem"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"])
}

impl LearnerRecorder {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        load(&self.tables, user).await
    }

    /// Stores all changes or none; `Conflict` when the learner changed since it was loaded.
    pub async fn store(&self, write: Write<'_>, changes: &Changes) -> Result<(), PortError> {
        let parts = parts(&self.tables, write, changes)?;
        self.tables.transact("store progress", parts).await
    }
}

capability! {
    /// Records what a user does in modules, which enrols nobody.
    TaskRecorder,
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"])
}

impl TaskRecorder {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        load(&self.tables, user).await
    }

    /// Stores all changes or none; `Conflict` when the learner changed since it was loaded.
    pub async fn store(&self, write: Write<'_>, changes: &Changes) -> Result<(), PortError> {
        let parts = parts(&self.tables, write, changes)?;
        self.tables.transact("store progress", parts).await
    }
}

fn import_key(import: &Slug) -> String {
    format!("import#{import}")
}

impl Record {
    fn of_written(written: &Written) -> Self {
        let targets = |of: &BTreeMap<Target, Timestamp>| {
            let target = |(target, at): (&Target, &Timestamp)| {
                (target.kind.as_str().to_owned(), target.slug.clone(), *at)
            };
            of.iter().map(target).collect()
        };
        Self::Import {
            at: written.at,
            enrollments: targets(&written.enrollments),
            started: written.started.clone(),
            completed: written.completed.clone(),
            completions: targets(&written.completions),
        }
    }

    fn into_written(self) -> Result<Written, PortError> {
        let Self::Import { at, enrollments, started, completed, completions } = self else {
            return Err(corrupt("decode an import")("another record"));
        };
        let targets = |of: Vec<(String, Slug, Timestamp)>| {
            let target = |(kind, slug, at): (String, Slug, Timestamp)| {
                let kind = kind.parse().map_err(corrupt("decode an import"))?;
                Ok((Target { kind, slug }, at))
            };
            of.into_iter().map(target).collect::<Result<BTreeMap<_, _>, PortError>>()
        };
        let (enrollments, completions) = (targets(enrollments)?, targets(completions)?);
        Ok(Written { at, enrollments, started, completed, completions })
    }
}

capability! {
    /// Brings over what an earlier system recorded of people, and undoes that.
    ProgressImporter,
    Grant::table(Table::Users, &["dynamodb:ConditionCheckItem", "dynamodb:GetItem"]),
    Grant::table(
        Table::Enrollments,
        &["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"],
    ),
    Grant::table(
        Table::Progress,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
    ),
    audit::APPEND,
}

impl ProgressImporter {
    /// Who has proven an address.
    pub async fn user(&self, email: &str) -> Result<Option<UserId>, PortError> {
        users::find_by_email(&self.tables, email).await
    }

    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        load(&self.tables, user).await
    }

    /// What an import wrote of the user so far.
    pub async fn written(
        &self,
        user: &UserId,
        import: &Slug,
    ) -> Result<Option<Written>, PortError> {
        let found: Option<ProgressItem> =
            self.tables.get(Table::Progress, &partition(user), &import_key(import)).await?;
        found.map(|item| item.record.into_written()).transpose()
    }

    /// Stores what an import brings, with what it wrote altogether; `false` when the user is about to
    /// go, `Conflict` when the learner changed since it was loaded.
    pub async fn store(
        &self,
        write: Write<'_>,
        changes: &Changes,
        (import, written): (&Slug, &Written),
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let Write { user, before, now, trace_id } = write;
        let item = ProgressItem {
            keys: Keys { pk: partition(user), sk: import_key(import) },
            stamp: Stamp {
                version: before.version + 1,
                updated_at: now,
                trace_id: trace_id.to_owned(),
                import: Some(import.clone()),
            },
            record: Record::of_written(written),
        };
        let mut parts = parts_of(&self.tables, write, changes, Some(import))?;
        parts.push(self.tables.put_part(Table::Progress, &item)?);
        self.commit("import progress", user, parts, entry).await
    }

    /// Undoes an import, which is forgotten if that `is_all`; `false` when the user is about to go, `Conflict` when the learner changed
    /// since it was loaded.
    pub async fn undo(
        &self,
        write: Write<'_>,
        (undo, is_all): (&Undo, bool),
        import: &Slug,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let (tables, user) = (&self.tables, write.user);
        let mut parts = parts_of(tables, write, &undo.changes, None)?;
        parts.extend(removal_parts(tables, user, &undo.removed)?);
        for enrollment in undo.removed.enrollments.values() {
            parts.push(enrollments::removal_part(tables, user, enrollment)?);
        }
        if is_all {
            let delete = Delete::builder()
                .table_name(tables.name(Table::Progress))
                .set_key(Some(key(&partition(user), &import_key(import))));
            let delete = delete.build().map_err(corrupt("build a transaction"))?;
            parts.push(TransactWriteItem::builder().delete(delete).build());
        }
        self.commit("undo an import", user, parts, entry).await
    }

    async fn commit(
        &self,
        operation: &'static str,
        user: &UserId,
        mut parts: Vec<TransactWriteItem>,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        parts.insert(0, users::in_use_part(&self.tables, user)?);
        parts.push(audit::part(&self.tables, entry)?);
        match self.tables.commit(operation, parts).await? {
            Applied::All => Ok(true),
            Applied::Refused(0) => Ok(false),
            Applied::Refused(_) => {
                let text = "the learner changed meanwhile";
                Err(PortError::new(operation, PortErrorClass::Conflict, text))
            }
        }
    }
}
