//! Copying people from the tables of one stage to those of another, with what they learned and made.
//!
//! An operator's tool, with an operator's credentials; no function uses it. Every write is made on the
//! condition that nothing is there, so nothing of the other stage is ever replaced, and the whole is
//! repeated after a crash: what is there is compared and not written again. A person comes in this order:
//!
//! 1. *Claims* on identities, address and username, in one transaction. From then on nobody else gets
//!    them in the other stage; if anybody has one already, nothing of the person is written.
//! 2. *Items* of all tables, one after the other.
//! 3. *The account* with its places in the directory. Without it a person can do nothing, so nobody works
//!    on a half of their data, and where it is, everything is.
//!
//! Sessions, secrets, requests, mail, the audit log, flags and the CRM's ledger stay where they are. Of the
//! ledger the wish alone goes along that the CRM hears nothing of somebody.

mod compare;
mod identities;
mod person;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use rollcall_crm::pending::token;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_domain::search::place_changes;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY};
use tokio::sync::Mutex;

pub use self::identities::Identities;
use self::person::{Person, Read};
use crate::error::{corrupt, failed};
use crate::item::{Attributes, key};
use crate::personal::partition;
use crate::tables::Tables;
use crate::update::Applied;
use crate::{catalog, certificates, crm, enrollments, search};

/// Pages of one table that are read, of a megabyte each: a table of terabytes.
const PAGES_MAX: u32 = 4_000_000;
/// Items of one partition that are copied; more is an error and never a silent cut.
const ITEMS_MAX: usize = 20_000;
/// How often claims are looked at again that somebody else takes at the same moment.
const CLAIM_TRIES_MAX: u32 = 5;
/// Tables whose partitions of a person are copied, in this order: badges and certificates before what they
/// follow from, so that none of them is awarded anew.
pub(crate) const COPIED: [Table; 6] = [
    Table::Portfolio,
    Table::Attempts,
    Table::Certificates,
    Table::Badges,
    Table::Enrollments,
    Table::Progress,
];

/// Why a person is not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The account is being erased, or was erased in the other stage after it had come there.
    Erased,
    /// A merge of the account with another is not finished.
    Merging,
    /// Nobody said what the person's identity is called in the other stage.
    Unmapped,
}

impl LeftOut {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erased => "erased",
            Self::Merging => "merging",
            Self::Unmapped => "unmapped",
        }
    }
}

/// What became of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Copied now, or would be.
    Copied,
    /// There already, with the same content.
    There,
    /// Not copied, or not wholly: something else is in the way.
    Conflict,
    /// Not to be copied.
    LeftOut(LeftOut),
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// An identity, an address or a username is somebody else's in the other stage.
    Taken {
        /// Which: `identity`, `email` or `username`.
        what: String,
        /// Whose.
        owner: String,
    },
    /// The other stage has something else in the place of an item.
    Differs {
        /// In which table.
        table: &'static str,
        /// Which item, without what says who somebody is.
        item: String,
    },
    /// The other stage lacks an item.
    Missing {
        /// In which table.
        table: &'static str,
        /// Which item.
        item: String,
    },
    /// Only the other stage has an item.
    Extra {
        /// In which table.
        table: &'static str,
        /// Which item.
        item: String,
    },
}

/// A person after a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Who.
    pub user: UserId,
    /// What became of them.
    pub status: Status,
    /// What is in the way.
    pub findings: BTreeSet<Finding>,
    /// How many items were written, or would be, by table.
    pub items: BTreeMap<&'static str, usize>,
    /// Roles that were granted and do not go along: rights are given in each stage.
    pub roles_left: Vec<String>,
}

impl Outcome {
    fn new(user: &UserId, status: Status) -> Self {
        Self {
            user: user.clone(),
            status,
            findings: BTreeSet::new(),
            items: BTreeMap::new(),
            roles_left: Vec::new(),
        }
    }

    fn count(&mut self, table: Table) {
        *self.items.entry(table.name()).or_default() += 1;
    }

    fn conflict(mut self, finding: Finding) -> Self {
        self.status = Status::Conflict;
        self.findings.insert(finding);
        self
    }
}

/// How both sides compare for one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What is not the same.
    pub findings: BTreeSet<Finding>,
    /// Items that must be there and items that are, by table.
    pub items: BTreeMap<&'static str, (usize, usize)>,
}

/// The tables of two stages.
pub struct Migration {
    from: Arc<Tables>,
    to: Arc<Tables>,
    identities: Identities,
    random: Arc<dyn Random>,
    /// Whether nothing is written.
    dry_run: bool,
    /// Versions of the catalogue that the other stage has by now.
    versions: Mutex<BTreeSet<String>>,
}

impl Migration {
    /// From the tables of one stage to those of another, where `identities` are called otherwise. In a dry
    /// run nothing is written.
    pub fn new(
        (from, to): (Arc<Tables>, Arc<Tables>),
        identities: Identities,
        random: Arc<dyn Random>,
        dry_run: bool,
    ) -> Self {
        Self { from, to, identities, random, dry_run, versions: Mutex::default() }
    }

    /// Everybody of the one stage, by id, with those who were merged into others.
    ///
    /// # Errors
    ///
    /// What the table refuses.
    pub async fn people(&self) -> Result<BTreeSet<UserId>, PortError> {
        let operation = "list people";
        let (mut people, mut start) = (BTreeSet::new(), None);
        for _page in 0..PAGES_MAX {
            let scan = self.from.client.scan().table_name(self.from.name(Table::Users));
            let page = scan
                .projection_expression("pk")
                .filter_expression("sk IN (:profile, :merged)")
                .expression_attribute_values(":profile", crate::item::text(person::ACCOUNT))
                .expression_attribute_values(":merged", crate::item::text(person::MERGED))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed(operation))?;
            for item in page.items.unwrap_or_default() {
                let user = name(&item, PARTITION_KEY).strip_prefix("user#").map(str::parse);
                people.extend(user.transpose().map_err(corrupt(operation))?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(people);
            }
        }
        Err(PortError::new(operation, PortErrorClass::Corrupt, "the table does not end"))
    }

    /// Copies a person, or says what is in the way.
    ///
    /// # Errors
    ///
    /// What a table refuses; then the same is to be called again.
    pub async fn copy(&self, user: &UserId, now: Timestamp) -> Result<Outcome, PortError> {
        let person = match person::read(&self.from, user, &self.identities, now).await? {
            Read::Person(person) => person,
            Read::Gone => return Ok(Outcome::new(user, Status::LeftOut(LeftOut::Erased))),
            Read::LeftOut(why) => return Ok(Outcome::new(user, Status::LeftOut(why))),
        };
        let mut outcome = Outcome::new(user, Status::Copied);
        outcome.roles_left.clone_from(&person.roles_left);
        let there = self.to.item(Table::Users, &person.last).await?;
        match there {
            Some(there) if there == person.last => {
                return Ok(Outcome { status: Status::There, ..outcome });
            }
            Some(_) => return Ok(outcome.conflict(differs(Table::Users, &person.last))),
            None if self.was_erased(user).await? => {
                return Ok(Outcome::new(user, Status::LeftOut(LeftOut::Erased)));
            }
            None => {}
        }
        for version in &person.versions {
            self.copy_version(version, &mut outcome).await?;
        }
        if let Some(taken) = self.claim_all(&person, &mut outcome).await? {
            return Ok(outcome.conflict(taken));
        }
        self.copy_items(&person, &mut outcome).await?;
        if outcome.status == Status::Copied {
            self.finish(&person, now, &mut outcome).await?;
        }
        Ok(outcome)
    }

    /// Whether somebody who is not in the other stage was, and was erased there: they do not come back.
    /// What the CRM is told of them outlives them.
    async fn was_erased(&self, user: &UserId) -> Result<bool, PortError> {
        Ok(crm::removal_of(&self.to, user).await? == Some(RemovalKind::Erase))
    }

    /// Takes all claims of a person, or none and says which is somebody else's.
    async fn claim_all(
        &self,
        person: &Person,
        outcome: &mut Outcome,
    ) -> Result<Option<Finding>, PortError> {
        for _try in 0..CLAIM_TRIES_MAX {
            let (missing, taken) = self.claims(person).await?;
            if taken.is_some() {
                return Ok(taken);
            }
            if self.claim(&missing, outcome).await? {
                return Ok(None);
            }
        }
        let text = "others claim the same again and again";
        Err(PortError::new("claim names", PortErrorClass::Throttled, text))
    }

    /// The claims that the other stage lacks, and the first that is somebody else's.
    async fn claims<'person>(
        &self,
        person: &'person Person,
    ) -> Result<(Vec<&'person Attributes>, Option<Finding>), PortError> {
        let mut missing = Vec::new();
        for claim in &person.claims {
            match self.to.item(Table::Users, claim).await? {
                None => missing.push(claim),
                Some(there) if name(&there, "user_id") == person.id.as_str() => {}
                Some(there) => {
                    let what = short(Table::Users, name(claim, PARTITION_KEY));
                    let owner = name(&there, "user_id").to_owned();
                    return Ok((missing, Some(Finding::Taken { what, owner })));
                }
            }
        }
        Ok((missing, None))
    }

    /// Takes claims that nobody has; `false`, and none is taken, when somebody was first. Those on names
    /// that were given up come in transactions of their own, since there may be many.
    async fn claim(
        &self,
        claims: &[&Attributes],
        outcome: &mut Outcome,
    ) -> Result<bool, PortError> {
        for chunk in claims.chunks(person::CLAIMS_AT_ONCE_MAX) {
            let parts = chunk.iter().map(|claim| self.new_part(Table::Users, claim));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            if !self.dry_run && self.to.commit("claim names", parts).await? != Applied::All {
                return Ok(false);
            }
            for _claim in chunk {
                outcome.count(Table::Users);
            }
        }
        Ok(true)
    }

    async fn copy_items(&self, person: &Person, outcome: &mut Outcome) -> Result<(), PortError> {
        for table in [Table::Users].into_iter().chain(COPIED) {
            let there = self.to.own_items(table, &person.id).await?;
            for item in person.items.iter().filter(|(of, _)| *of == table).map(|(_, item)| item) {
                match there.get(name(item, SORT_KEY)) {
                    Some(there) if compare::is_same(table, item, there) => {}
                    Some(_) => {
                        outcome.status = Status::Conflict;
                        outcome.findings.insert(differs(table, item));
                    }
                    None => {
                        outcome.count(table);
                        if !self.dry_run && !self.put_new(table, item).await? {
                            outcome.status = Status::Conflict;
                            outcome.findings.insert(differs(table, item));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes an item that is not there; `false` when another one is by now. Two programs may copy the
    /// same at the same moment.
    async fn put_new(&self, table: Table, item: &Attributes) -> Result<bool, PortError> {
        let is_new = if table == Table::Certificates {
            certificates::put_copied(&self.to, item, &*self.random).await?
        } else {
            let mut parts = vec![self.new_part(table, item)?];
            if table == Table::Enrollments {
                parts.extend(enrollments::place_taken_part(&self.to, item)?);
            }
            self.to.commit("copy an item", parts).await? == Applied::All
        };
        Ok(is_new || self.is_there(table, item).await?)
    }

    async fn is_there(&self, table: Table, item: &Attributes) -> Result<bool, PortError> {
        let there = self.to.item(table, item).await?;
        Ok(there.is_some_and(|there| compare::is_same(table, item, &there)))
    }

    /// The account, and what has to come with it.
    async fn finish(
        &self,
        person: &Person,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Result<(), PortError> {
        outcome.count(Table::Users);
        let mut parts = vec![self.new_part(Table::Users, &person.last)?];
        for change in place_changes(None, person.account.as_ref()) {
            outcome.count(Table::Directory);
            parts.push(search::part(&self.to, &person.id, &change)?);
        }
        if let Some(kind) = person.removal {
            let removal = Removal::new(token(&*self.random), kind, None, now).done(now);
            parts.push(crm::closed_part(&self.to, &person.id, &removal)?);
        }
        if self.dry_run {
            return Ok(());
        }
        if self.to.commit("copy an account", parts).await? != Applied::All
            && !self.is_there(Table::Users, &person.last).await?
        {
            outcome.status = Status::Conflict;
            outcome.findings.insert(differs(Table::Users, &person.last));
        }
        Ok(())
    }

    /// Copies a version of the catalogue that something names; one that was never stored is none.
    async fn copy_version(&self, version: &str, outcome: &mut Outcome) -> Result<(), PortError> {
        let mut copied = self.versions.lock().await;
        if !copied.insert(version.to_owned()) {
            return Ok(());
        }
        let (pk, table) = (catalog::partition_named(version), Table::Catalog);
        if self.to.item(table, &key(&pk, catalog::SEAL)).await?.is_some() {
            return Ok(());
        }
        let items = self.from.partition_items(table, &pk).await?;
        let (seal, contents): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| name(item, SORT_KEY) == catalog::SEAL);
        if seal.is_empty() {
            return Ok(());
        }
        // A version is named by its content, so what is there is the same.
        for item in contents.iter().chain(&seal) {
            outcome.count(table);
            if !self.dry_run {
                let part = self.new_part(table, item)?;
                self.to.commit("copy a catalogue", vec![part]).await?;
            }
        }
        Ok(())
    }

    fn new_part(&self, table: Table, item: &Attributes) -> Result<TransactWriteItem, PortError> {
        let put = Put::builder()
            .table_name(self.to.name(table))
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

impl Tables {
    /// The item of the same key as `like`, strongly consistent.
    async fn item(&self, table: Table, like: &Attributes) -> Result<Option<Attributes>, PortError> {
        let key = key(name(like, PARTITION_KEY), name(like, SORT_KEY));
        let get = self.client.get_item().table_name(self.name(table)).set_key(Some(key));
        let answer = get.consistent_read(true).send().await.map_err(failed("read an item"))?;
        Ok(answer.item)
    }

    /// All items of a user's partition by their sort keys, strongly consistent.
    async fn own_items(
        &self,
        table: Table,
        user: &UserId,
    ) -> Result<BTreeMap<String, Attributes>, PortError> {
        let items = self.partition_items(table, &partition(user)).await?.into_iter();
        Ok(items.map(|item| (name(&item, SORT_KEY).to_owned(), item)).collect())
    }

    /// All items of a partition, strongly consistent.
    async fn partition_items(&self, table: Table, pk: &str) -> Result<Vec<Attributes>, PortError> {
        let operation = "read a partition";
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let page = self
                .client
                .query()
                .table_name(self.name(table))
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", crate::item::text(pk))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed(operation))?;
            items.extend(page.items.unwrap_or_default());
            if items.len() > ITEMS_MAX {
                let text = format!("more than {ITEMS_MAX} items in one partition");
                return Err(PortError::new(operation, PortErrorClass::Corrupt, text));
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }
}

/// A text of an item; empty when there is none.
fn name<'item>(item: &'item Attributes, attribute: &str) -> &'item str {
    let value = item.get(attribute).and_then(|value| value.as_s().ok());
    value.map(String::as_str).unwrap_or_default()
}

fn differs(table: Table, item: &Attributes) -> Finding {
    Finding::Differs { table: table.name(), item: short(table, name(item, SORT_KEY)) }
}

/// The name of an item, without what says who somebody is.
fn short(table: Table, sort_key: &str) -> String {
    let kind = sort_key.split('#').next().unwrap_or_default();
    if table == Table::Users { kind.to_owned() } else { sort_key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is one stage's alone: what the CRM acknowledged, and who is signed in.
    const STAYING: [Table; 2] = [Table::Crm, Table::Edge];

    #[test]
    fn everything_that_is_kept_of_people_comes_or_stays_for_a_reason() {
        for table in Table::ALL.into_iter().filter(|table| table.holds_users()) {
            let comes = table == Table::Users || COPIED.contains(&table);
            assert_ne!(comes, STAYING.contains(&table), "{}", table.name());
        }
    }
}
