//! Reconciliations: where the one stands that is under way, what they found, and what they need to
//! see of users.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use rollcall_crm::limits::RECONCILIATION_KEPT_SECONDS;
use rollcall_crm::pending::Mark;
use rollcall_crm::reconcile::compare::Known;
use rollcall_crm::reconcile::work::{ReconcileStore, UserIds, UserWalk};
use rollcall_crm::reconcile::{Class, Counts, Finding, Phase, Policy, Reconciliation, Repair};
use rollcall_crm::removal::Removal;
use rollcall_domain::audit::Entry;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{ReconciliationId, UserId};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::table::{CRM_DUE, SORT_KEY, USERS_JOINED, USERS_JOINED_SHARDS};
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use super::ledger::{LEDGER, entered};
use super::overview::{MARK, reconcile_key};
use super::removals::ContactErasure;
use super::{CrmTable, named, pending, user_key};
use crate::audit;
use crate::error::{corrupt, failed};
use crate::item::{Order, PageQuery, from_item, key, text};
use crate::tables::{Capability, capability};
use crate::update::{Applied, ItemUpdate};
use crate::users::joined_shard;

const POINTER: &str = "reconcile";
const CURRENT: &str = "current";
const RUN: &str = "run";
const PAGE: &str = "page#";
/// What the keys of rows that wait begin with.
const PENDING: &str = "pending#";

fn run_key(id: &ReconciliationId) -> String {
    format!("run#{id}")
}

fn page_key(number: u32) -> String {
    format!("{PAGE}{number:08}")
}

#[derive(Debug, Deserialize)]
struct PointerItem {
    run_id: Option<ReconciliationId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunItem {
    pk: String,
    sk: String,
    run_id: ReconciliationId,
    policy: String,
    dry_run: bool,
    started_by: String,
    started_at: Timestamp,
    updated_at: Timestamp,
    finished_at: Option<Timestamp>,
    phase: String,
    cursor: Option<String>,
    pages: u32,
    owing: Option<u32>,
    users: u64,
    contacts: u64,
    in_flight: u64,
    at_desk: u64,
    repaired: u64,
    found: BTreeMap<String, u64>,
    version: u64,
    expires_at: i64,
}

impl From<&Reconciliation> for RunItem {
    fn from(run: &Reconciliation) -> Self {
        let run = run.clone();
        let Counts { users, contacts, in_flight, at_desk, found, repaired } = run.counts;
        let found = found.into_iter().map(|(class, count)| (class.as_str().to_owned(), count));
        Self {
            pk: run_key(&run.id),
            sk: RUN.to_owned(),
            run_id: run.id,
            policy: run.policy.as_str().to_owned(),
            dry_run: run.dry_run,
            started_by: run.started_by,
            started_at: run.started_at,
            updated_at: run.updated_at,
            finished_at: run.finished_at,
            phase: run.phase.as_str().to_owned(),
            cursor: run.cursor,
            pages: run.pages,
            owing: run.owing,
            users,
            contacts,
            in_flight,
            at_desk,
            repaired,
            found: found.collect(),
            version: run.version,
            // Counted from the last step, so that one that takes long does not lose its beginning.
            expires_at: after_seconds(run.updated_at, RECONCILIATION_KEPT_SECONDS).as_second(),
        }
    }
}

impl TryFrom<RunItem> for Reconciliation {
    type Error = PortError;

    fn try_from(item: RunItem) -> Result<Self, PortError> {
        let found = item.found.into_iter().map(|(class, count)| {
            let class = named(&Class::ALL, Class::as_str, &class)?;
            Ok::<_, PortError>((class, count))
        });
        Ok(Self {
            policy: named(&Policy::ALL, Policy::as_str, &item.policy)?,
            phase: named(&Phase::ALL, Phase::as_str, &item.phase)?,
            counts: Counts {
                users: item.users,
                contacts: item.contacts,
                in_flight: item.in_flight,
                at_desk: item.at_desk,
                found: found.collect::<Result<_, _>>()?,
                repaired: item.repaired,
            },
            id: item.run_id,
            dry_run: item.dry_run,
            started_by: item.started_by,
            started_at: item.started_at,
            updated_at: item.updated_at,
            finished_at: item.finished_at,
            cursor: item.cursor,
            pages: item.pages,
            owing: item.owing,
            version: item.version,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct PageItem {
    pk: String,
    sk: String,
    number: u32,
    findings: Vec<FindingItem>,
    expires_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FindingItem {
    class: String,
    user_id: Option<UserId>,
    contact_id: Option<String>,
    differences: BTreeMap<Facet, Vec<String>>,
    repair: String,
    facets: Vec<Facet>,
}

impl From<&Finding> for FindingItem {
    fn from(finding: &Finding) -> Self {
        let Finding { class, user, contact_id, differences, repair } = finding.clone();
        Self {
            class: class.as_str().to_owned(),
            user_id: user,
            contact_id,
            differences,
            repair: repair.as_str().to_owned(),
            facets: match repair {
                Repair::Send(facets) => facets,
                Repair::None | Repair::Remove | Repair::Release => Vec::new(),
            },
        }
    }
}

impl TryFrom<FindingItem> for Finding {
    type Error = PortError;

    fn try_from(item: FindingItem) -> Result<Self, PortError> {
        let repairs =
            [Repair::None, Repair::Send(item.facets), Repair::Remove, Repair::Release].into_iter();
        let repair = repairs.into_iter().find(|repair| repair.as_str() == item.repair);
        Ok(Self {
            class: named(&Class::ALL, Class::as_str, &item.class)?,
            user: item.user_id,
            contact_id: item.contact_id,
            differences: item.differences,
            repair: repair.ok_or("no such repair").map_err(corrupt("decode a finding"))?,
        })
    }
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $($grant:expr),+;)+) => {$(
        capability! { $(#[$doc])* $name, $($grant),+ }

        impl $name {
            /// The table, for this purpose.
            pub fn table(&self) -> std::sync::Arc<CrmTable> {
                std::sync::Arc::new(CrmTable { tables: std::sync::Arc::clone(&self.tables) })
            }
        }
    )+};
}

tables! {
    /// Compares users with the CRM, page by page.
    ReconcileWorker:
        Grant::table(
            Table::Crm,
            &[
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
        ),
        Grant::index(Table::Crm, CRM_DUE.name),
        Grant::index(Table::Users, USERS_JOINED.name);
    /// Creates definitions in the CRM, and tells the audit log.
    SchemaApplier:
        Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:UpdateItem"]),
        audit::APPEND;
}

impl SchemaApplier {
    /// Tells the audit log of what is ordered in the CRM.
    pub async fn tell(&self, entry: &Entry) -> Result<(), PortError> {
        let part = audit::part(&self.tables, entry)?;
        self.tables.transact("tell what is ordered in the CRM", vec![part]).await
    }
}

/// Whether a reconciliation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It did.
    Begun,
    /// Another one is under way.
    Busy(ReconciliationId),
}

capability! {
    /// Begins reconciliations, and tells the audit log.
    ReconciliationStarter,
    Grant::table(
        Table::Crm,
        &["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    ),
    audit::APPEND,
}

impl ReconciliationStarter {
    /// Begins a reconciliation, unless one is under way.
    pub async fn start(&self, run: &Reconciliation, entry: &Entry) -> Result<Started, PortError> {
        let operation = "begin a reconciliation";
        let pointer = ItemUpdate::of(POINTER, CURRENT)
            .set("run_id", text(run.id.as_str()))
            .only_if("attribute_not_exists(#run_id)");
        let parts = vec![
            pointer.into_part(self.tables.name(Table::Crm))?,
            self.tables.put_version_part(Table::Crm, &RunItem::from(run), run.version)?,
            audit::part(&self.tables, entry)?,
        ];
        if self.tables.commit(operation, parts).await? == Applied::All {
            return Ok(Started::Begun);
        }
        let item: Option<PointerItem> = self.tables.get(Table::Crm, POINTER, CURRENT).await?;
        let running = item.and_then(|item| item.run_id);
        // The one in the way is through by now: whoever asks again gets their turn.
        let text = "another reconciliation was under way";
        let gone = || PortError::new(operation, PortErrorClass::Conflict, text);
        running.map(Started::Busy).ok_or_else(gone)
    }
}

capability! {
    /// Shows how far a reconciliation came.
    ReconciliationViewer, Grant::table(Table::Crm, &["dynamodb:GetItem"])
}

impl ReconciliationViewer {
    /// A reconciliation, strongly consistent.
    pub async fn find(&self, id: &ReconciliationId) -> Result<Option<Reconciliation>, PortError> {
        let item: Option<RunItem> = self.tables.get(Table::Crm, &run_key(id), RUN).await?;
        item.map(Reconciliation::try_from).transpose()
    }
}

/// A page of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingPage {
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
    /// Where the next page begins; none on the last page.
    pub position: Option<String>,
}

capability! {
    /// Lists what a reconciliation found.
    FindingLister, Grant::table(Table::Crm, &["dynamodb:GetItem", "dynamodb:Query"])
}

impl FindingLister {
    /// Findings behind a position that an earlier page named, strongly consistent; `None` when there is no
    /// such reconciliation.
    pub async fn list(
        &self,
        id: &ReconciliationId,
        position: Option<&str>,
        findings_max: usize,
    ) -> Result<Option<FindingPage>, PortError> {
        let operation = "list findings";
        let pk = run_key(id);
        if self.tables.get::<serde::de::IgnoredAny>(Table::Crm, &pk, RUN).await?.is_none() {
            return Ok(None);
        }
        let (first, skipped) = place(position)?;
        let query = PageQuery {
            table: Table::Crm,
            index: None,
            partition: &pk,
            prefix: PAGE,
            order: Order::Ascending,
            start: first.checked_sub(1).map(|before| key(&pk, &page_key(before))),
            // A page is stored only if something was found on it.
            items_max: findings_max,
        };
        let (pages, more) = self.tables.page::<PageItem>(operation, query).await?;
        let last = pages.last().map(|page| page.number);
        let places = pages.into_iter().flat_map(|page| {
            let number = page.number;
            let findings = page.findings.into_iter().enumerate();
            findings.map(move |(offset, finding)| (number, offset, finding))
        });
        let mut behind = places
            .skip_while(|(number, offset, _)| *number == first && *offset < skipped)
            .peekable();
        let mut findings = Vec::new();
        while findings.len() < findings_max
            && let Some((_, _, finding)) = behind.next()
        {
            findings.push(Finding::try_from(finding)?);
        }
        let position = match behind.peek() {
            Some((number, offset, _)) => Some(format!("{number}.{offset}")),
            None => last.filter(|_| more).map(|last| format!("{}.0", last.saturating_add(1))),
        };
        Ok(Some(FindingPage { findings, position }))
    }
}

/// The page and the finding on it at which a position is.
fn place(position: Option<&str>) -> Result<(u32, usize), PortError> {
    let Some(position) = position else { return Ok((0, 0)) };
    let place = position.split_once('.').and_then(|(page, finding)| {
        Some((page.parse::<u32>().ok()?, finding.parse::<usize>().ok()?))
    });
    let invalid = || PortError::new("list findings", PortErrorClass::Rejected, "not a position");
    place.ok_or_else(invalid)
}

#[async_trait]
impl ReconcileStore for CrmTable {
    async fn current(&self) -> Result<Option<Reconciliation>, PortError> {
        let item: Option<PointerItem> = self.tables.get(Table::Crm, POINTER, CURRENT).await?;
        let Some(id) = item.and_then(|item| item.run_id) else { return Ok(None) };
        let item: Option<RunItem> = self.tables.get(Table::Crm, &run_key(&id), RUN).await?;
        item.map(Reconciliation::try_from).transpose()
    }

    async fn commit(&self, next: &Reconciliation, findings: &[Finding]) -> Result<bool, PortError> {
        let item = RunItem::from(next);
        let expires_at = item.expires_at;
        let mut parts = vec![self.tables.put_version_part(Table::Crm, &item, next.version)?];
        if !findings.is_empty() {
            let page = PageItem {
                pk: run_key(&next.id),
                sk: page_key(next.pages),
                number: next.pages,
                findings: findings.iter().map(FindingItem::from).collect(),
                expires_at,
            };
            parts.push(self.tables.put_part(Table::Crm, &page)?);
        }
        let applied = self.tables.commit("store what a reconciliation found", parts).await?;
        Ok(applied == Applied::All)
    }

    async fn finish(&self, last: &Reconciliation) -> Result<bool, PortError> {
        let pointer = ItemUpdate::of(POINTER, CURRENT)
            .remove("run_id")
            .value("run_id", text(last.id.as_str()))
            .only_if("#run_id = :run_id");
        let parts = vec![
            self.tables.put_version_part(Table::Crm, &RunItem::from(last), last.version)?,
            pointer.into_part(self.tables.name(Table::Crm))?,
        ];
        Ok(self.tables.commit("end a reconciliation", parts).await? == Applied::All)
    }

    async fn findings(
        &self,
        reconciliation: &Reconciliation,
        page: u32,
    ) -> Result<Vec<Finding>, PortError> {
        let pk = run_key(&reconciliation.id);
        let item: Option<PageItem> = self.tables.get(Table::Crm, &pk, &page_key(page)).await?;
        let findings = item.map(|item| item.findings).unwrap_or_default().into_iter();
        findings.map(Finding::try_from).collect()
    }

    async fn known(&self, user: &UserId, now: Timestamp) -> Result<Known, PortError> {
        let operation = "read what is known about a user in the CRM";
        let answer = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(user_key(user)))
            .consistent_read(true)
            .send()
            .await
            .map_err(failed(operation))?;
        let mut known = Known::default();
        for item in answer.items.unwrap_or_default() {
            let sk = item.get(SORT_KEY).and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            if sk == LEDGER {
                let (ledger, busy) = entered(item)?.seen(now);
                known.ledger = ledger;
                known.busy |= busy;
            } else {
                known.busy |= sk.starts_with(PENDING);
            }
        }
        Ok(known)
    }

    async fn force(&self, mark: &Mark) -> Result<(), PortError> {
        let update = pending::marked(mark).set("forced", AttributeValue::Bool(true));
        self.tables.apply("mark a difference as pending", Table::Crm, update).await?;
        Ok(())
    }

    async fn erase_again(&self, user: &UserId, removal: &Removal) -> Result<(), PortError> {
        ContactErasure::new(&self.tables).ask(user, removal).await
    }

    async fn compared_since(&self, began_at: Timestamp) -> Result<(), PortError> {
        let streamed = Table::ALL.into_iter().filter(|table| table.has_stream());
        try_join_all(streamed.map(|table| self.forget_mark(table, began_at))).await?;
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct MarkItem {
    updated_at: Timestamp,
}

impl CrmTable {
    /// Removes the mark on a table, unless it was made anew after `began_at`.
    async fn forget_mark(&self, table: Table, began_at: Timestamp) -> Result<(), PortError> {
        let pk = reconcile_key(table.name());
        let mark: Option<MarkItem> = self.tables.get(Table::Crm, &pk, MARK).await?;
        let Some(mark) = mark.filter(|mark| mark.updated_at < began_at) else { return Ok(()) };
        let sent = self
            .tables
            .client
            .delete_item()
            .table_name(self.tables.name(Table::Crm))
            .set_key(Some(key(&pk, MARK)))
            .condition_expression("updated_at = :seen")
            .expression_attribute_values(":seen", text(mark.updated_at.to_string()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("remove the mark on a table")(error)),
            },
        }
    }
}

#[derive(Debug, Deserialize)]
struct JoinedItem {
    user_id: UserId,
}

/// Positions are `{shard}.{last user}`, or `{shard}.` at the beginning of a shard.
#[async_trait]
impl UserWalk for CrmTable {
    async fn users(&self, position: Option<&str>, users_max: usize) -> Result<UserIds, PortError> {
        let (first, mut behind) = match position.and_then(|position| position.split_once('.')) {
            Some((shard, last)) => (shard.parse().unwrap_or_default(), last.to_owned()),
            None => (0, String::new()),
        };
        let mut users: Vec<UserId> = Vec::new();
        for shard in first..USERS_JOINED_SHARDS {
            let wanted = users_max.saturating_sub(users.len());
            if wanted == 0 {
                return Ok(UserIds { users, next: Some(format!("{shard}.")) });
            }
            let found = self.joined(shard, &behind, wanted).await?;
            let is_full = found.len() == wanted;
            users.extend(found);
            if is_full {
                let next = users.last().map(|last| format!("{shard}.{last}"));
                return Ok(UserIds { users, next });
            }
            behind = String::new();
        }
        Ok(UserIds { users, next: None })
    }
}

impl CrmTable {
    async fn joined(
        &self,
        shard: u8,
        behind: &str,
        users_max: usize,
    ) -> Result<Vec<UserId>, PortError> {
        let operation = "walk over the users";
        let (mut users, mut start) = (Vec::new(), None);
        // A page ends at its limit or at a megabyte, so each holds something or is the last.
        for _page in 0..users_max {
            let page = self
                .tables
                .client
                .query()
                .table_name(self.tables.name(Table::Users))
                .index_name(USERS_JOINED.name)
                .key_condition_expression("#shard = :shard AND #id > :behind")
                .expression_attribute_names("#shard", USERS_JOINED.partition_key)
                .expression_attribute_names("#id", USERS_JOINED.sort_key)
                .expression_attribute_values(":shard", text(joined_shard(shard)))
                .expression_attribute_values(
                    ":behind",
                    text(if behind.is_empty() { UserId::PREFIX } else { behind }),
                )
                .limit(i32::try_from(users_max - users.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed(operation))?;
            for item in page.items.unwrap_or_default() {
                users.push(from_item::<JoinedItem>(item)?.user_id);
            }
            start = page.last_evaluated_key;
            if start.is_none() || users.len() >= users_max {
                break;
            }
        }
        Ok(users)
    }
}
