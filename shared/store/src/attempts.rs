//! The table `attempts`: under `user#{id}`, an item `open#{module}#{quiz}` for the attempt at a quiz
//! that was started and not submitted, and an item `attempt#{module}#{id}` for each that was. Ids
//! sort by time, so a module's attempts are in order whatever quiz they are at (fault D14), and two
//! of the same millisecond are two (fault D7).

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use rollcall_domain::attempt::{Attempt, OpenAttempt};
use rollcall_domain::catalog::QuizName;
use rollcall_domain::id::{AttemptId, UserId};
use rollcall_domain::learning::Learner;
use rollcall_domain::port::PortError;
use rollcall_domain::progress::Changes;
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::{corrupt, failed};
use crate::item::{from_item, key, text, to_item};
use crate::learner::{self, Write};
use crate::personal::partition;
use crate::tables::{Tables, capability};

#[derive(Debug, Serialize, Deserialize)]
struct OpenItem {
    pk: String,
    sk: String,
    id: AttemptId,
    attempt: OpenAttempt,
}

#[derive(Debug, Serialize, Deserialize)]
struct AttemptItem {
    pk: String,
    sk: String,
    attempt: Attempt,
}

fn open_sort(name: &QuizName) -> String {
    format!("open#{}#{}", name.module, name.quiz)
}

fn attempt_prefix(module: &Slug) -> String {
    format!("attempt#{module}#")
}

async fn open(
    tables: &Tables,
    user: &UserId,
    name: &QuizName,
) -> Result<Option<OpenAttempt>, PortError> {
    let item: Option<OpenItem> =
        tables.get(Table::Attempts, &partition(user), &open_sort(name)).await?;
    Ok(item.map(|item| item.attempt))
}

capability! {
    /// Starts attempts.
    AttemptStarter,
    Grant::table(Table::Attempts, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"])
}

impl AttemptStarter {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        learner::load(&self.tables, user).await
    }

    /// The attempt at the quiz that was started and not submitted.
    pub async fn open(
        &self,
        user: &UserId,
        name: &QuizName,
    ) -> Result<Option<OpenAttempt>, PortError> {
        open(&self.tables, user, name).await
    }

    /// Stores an attempt in place of `replaced`, with the progress that starting it is; `Conflict`
    /// when another was started or the learner changed in between.
    pub async fn start(
        &self,
        write: Write<'_>,
        changes: &Changes,
        attempt: &OpenAttempt,
        replaced: Option<&OpenAttempt>,
    ) -> Result<(), PortError> {
        let item = OpenItem {
            pk: partition(write.user),
            sk: open_sort(&attempt.name),
            id: attempt.id.clone(),
            attempt: attempt.clone(),
        };
        let put = Put::builder().table_name(self.tables.name(Table::Attempts));
        let put = put.set_item(Some(to_item(&item)?));
        let put = match replaced {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(other) => put
                .condition_expression("id = :replaced")
                .expression_attribute_values(":replaced", text(other.id.as_str())),
        };
        let put = put.build().map_err(corrupt("build a transaction"))?;
        let mut parts = vec![TransactWriteItem::builder().put(put).build()];
        if !changes.is_empty() {
            parts.extend(learner::parts(&self.tables, write, changes)?);
        }
        self.tables.transact("start an attempt", parts).await
    }
}

capability! {
    /// Submits attempts.
    AttemptSubmitter,
    Grant::table(
        Table::Attempts,
        &["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"],
    ),
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"])
}

impl AttemptSubmitter {
    /// Everything the user did, strongly consistent item by item.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        learner::load(&self.tables, user).await
    }

    /// The attempt at the quiz that was started and not submitted.
    pub async fn open(
        &self,
        user: &UserId,
        name: &QuizName,
    ) -> Result<Option<OpenAttempt>, PortError> {
        open(&self.tables, user, name).await
    }

    /// An attempt that was submitted.
    pub async fn find(
        &self,
        user: &UserId,
        module: &Slug,
        id: &AttemptId,
    ) -> Result<Option<Attempt>, PortError> {
        let sort = format!("{}{id}", attempt_prefix(module));
        let item: Option<AttemptItem> =
            self.tables.get(Table::Attempts, &partition(user), &sort).await?;
        Ok(item.map(|item| item.attempt))
    }

    /// Stores the attempt, what follows from it, and that it is no longer open, all or nothing
    /// (fault D5: these were five writes); `Conflict` when it was submitted, or when the learner
    /// changed, in between.
    pub async fn submit(
        &self,
        write: Write<'_>,
        changes: &Changes,
        attempt: &Attempt,
    ) -> Result<(), PortError> {
        let QuizName { module, .. } = &attempt.opened.name;
        let id = &attempt.opened.id;
        let (pk, table) = (partition(write.user), self.tables.name(Table::Attempts));
        let delete = Delete::builder()
            .table_name(&table)
            .set_key(Some(key(&pk, &open_sort(&attempt.opened.name))))
            .condition_expression("id = :id")
            .expression_attribute_values(":id", text(id.as_str()))
            .build()
            .map_err(corrupt("build a transaction"))?;
        let sk = format!("{}{id}", attempt_prefix(module));
        let item = AttemptItem { pk, sk, attempt: attempt.clone() };
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(to_item(&item)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(corrupt("build a transaction"))?;
        let mut parts = learner::parts(&self.tables, write, changes)?;
        parts.push(TransactWriteItem::builder().delete(delete).build());
        parts.push(TransactWriteItem::builder().put(put).build());
        self.tables.transact("submit an attempt", parts).await
    }
}

/// Some attempts, and where the list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPage {
    /// The attempts, newest first.
    pub attempts: Vec<Attempt>,
    /// The position behind the last of them; none on the last page.
    pub position: Option<String>,
}

capability! {
    /// Lists attempts.
    AttemptLister, Grant::table(Table::Attempts, &["dynamodb:Query"])
}

impl AttemptLister {
    /// A page of a user's attempts at the quizzes of a module, newest first.
    pub async fn page(
        &self,
        user: &UserId,
        module: &Slug,
        limit: usize,
        position: Option<&str>,
    ) -> Result<AttemptPage, PortError> {
        let (pk, prefix) = (partition(user), attempt_prefix(module));
        let start = position.map(|id| key(&pk, &format!("{prefix}{id}")));
        let answer = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Attempts))
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":prefix", text(prefix))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed("list attempts"))?;
        let mut attempts = Vec::new();
        for item in answer.items.unwrap_or_default() {
            attempts.push(from_item::<AttemptItem>(item)?.attempt);
        }
        let more = answer.last_evaluated_key.is_some();
        let last = attempts.last().map(|attempt: &Attempt| attempt.opened.id.to_string());
        Ok(AttemptPage { attempts, position: last.filter(|_| more) })
    }
}
