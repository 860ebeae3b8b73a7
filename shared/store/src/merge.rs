//! Finishing merges: what an account did that was merged into another becomes the survivor's, piece
//! by piece. The merge itself is one transaction (`users/merge.rs`); this is what did not fit into it.
//!
//! Each piece moves in one transaction, so a crash anywhere loses nothing and moves nothing twice, and
//! the next round goes on. Whoever writes to the survivor at the same moment is first or second. The
//! last write takes the tombstone out of the index; until then it names all that is left to do.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::MERGE_CHAIN_MAX;
use rollcall_domain::merge;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::portfolio::Shelf;
use rollcall_domain::progress::Changes;
use rollcall_domain::user::User;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY, USER_ERASURES};
use rollcall_resources::{Grant, Table};

use crate::error::{corrupt, failed};
use crate::item::{Attributes, key, sortable, text};
use crate::learner::{self, Write};
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::{Applied, ItemUpdate};
use crate::users::{self, TOMBSTONE, TombstoneItem};
use crate::{badges, certificates, crm, enrollments, portfolio};

/// Items that one transaction moves: two writes each, of the hundred that DynamoDB allows.
const MOVED_AT_ONCE_MAX: i32 = 40;

const MOVE: &[&str] = &["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"];
/// What removes that which nobody needs any more.
const REMOVE: &[&str] = &["dynamodb:BatchWriteItem"];

/// A merge that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The account that was merged.
    pub from: UserId,
    /// Into whom, when it began.
    pub into: UserId,
    /// Since when no session of the account is left.
    pub closed_at: Timestamp,
    /// The address that becomes the survivor's.
    pub email: Option<String>,
    /// Where members found the account.
    places: Vec<(String, String)>,
}

/// A piece of work that moves: whose, to whom, when, and for which trace.
#[derive(Clone, Copy, Debug)]
pub struct Moving<'moving> {
    /// The account that was merged.
    pub from: &'moving UserId,
    /// The survivor.
    pub into: &'moving UserId,
    /// Now.
    pub now: Timestamp,
    /// The id that the change carries to the CRM.
    pub trace_id: &'moving str,
}

capability! {
    /// Finishes merges.
    MergeFinisher,
    Grant::index(Table::Users, USER_ERASURES.name),
    Grant::table(
        Table::Users,
        &[
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
    ),
    Grant::table(
        Table::Enrollments,
        &["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"],
    ),
    Grant::table(Table::Progress, MOVE),
    Grant::table(Table::Progress, REMOVE),
    Grant::table(Table::Attempts, MOVE),
    Grant::table(Table::Portfolio, MOVE),
    Grant::table(Table::Portfolio, REMOVE),
    Grant::table(Table::Portfolio, &["dynamodb:UpdateItem"]),
    Grant::table(Table::Badges, MOVE),
    Grant::table(Table::Badges, REMOVE),
    Grant::table(Table::Certificates, MOVE),
    Grant::table(Table::Edge, &["dynamodb:BatchWriteItem", "dynamodb:Query"]),
    Grant::table(Table::Directory, &["dynamodb:DeleteItem"]),
    Grant::table(Table::Crm, &["dynamodb:GetItem"]),
}

impl MergeFinisher {
    /// Accounts whose merge is not finished, those first that wait longest.
    pub async fn due(&self, now: Timestamp, users_max: i32) -> Result<Vec<UserId>, PortError> {
        users::due(&self.tables, users::MERGE_SHARD, now, users_max).await
    }

    /// A merge, if it is not finished, strongly consistent.
    pub async fn find(&self, from: &UserId) -> Result<Option<Unfinished>, PortError> {
        let item = users::tombstone(&self.tables, from).await?;
        let item = item.filter(|item| item.erase_shard.is_some());
        Ok(item.map(|item| {
            let TombstoneItem { user_id, into, merged_at, closed_at, places, email, .. } = item;
            let closed_at = closed_at.unwrap_or(merged_at);
            Unfinished { from: user_id, into, closed_at, email, places }
        }))
    }

    /// Sessions were found and ended only now: what they asked for may be running until later. The
    /// index follows, so that what fails again and again keeps nothing else waiting.
    pub async fn put_off(&self, merge: &Unfinished, now: Timestamp) -> Result<(), PortError> {
        let update = ItemUpdate::of(&partition(&merge.from), TOMBSTONE)
            .set("closed_at", text(now.to_string()))
            .set("erase_at", text(sortable(now)))
            .name("erase_shard")
            .only_if("attribute_exists(#erase_shard)");
        self.tables.apply("put a merge off", Table::Users, update).await.map(drop)
    }

    /// Who the survivor is by now, strongly consistent: whoever the account was merged into may have
    /// been merged, too. `None` when the survivor is being erased, which takes along what is left.
    pub async fn survivor(
        &self,
        merge: &Unfinished,
        now: Timestamp,
    ) -> Result<Option<User>, PortError> {
        let mut into = merge.into.clone();
        for _link in 0..MERGE_CHAIN_MAX {
            if let Some(user) = users::find(&self.tables, &into).await? {
                let is_erased = user.standing.erase_at().is_some_and(|at| at <= now);
                return Ok(Some(user).filter(|_| !is_erased));
            }
            match users::tombstone(&self.tables, &into).await? {
                Some(next) => into = next.into,
                None => return Ok(None),
            }
        }
        let text = "too many merges upon merges";
        Err(PortError::new("find a survivor", PortErrorClass::Corrupt, text))
    }

    /// Everything a user did in the catalogue, strongly consistent item by item.
    pub async fn learner(&self, user: &UserId) -> Result<Learner, PortError> {
        learner::load(&self.tables, user).await
    }

    /// Stores what becomes of the survivor, who learned `before`, and removes the `part` of what the
    /// other account did from which it follows; `Conflict`, and nothing is stored, when either changed
    /// in between. It counts as a write of both: whoever read the other account before, such as a
    /// validator's answer on its way, stores nothing there afterwards.
    pub async fn move_learning(
        &self,
        moving: Moving<'_>,
        before: &Learner,
        changes: &Changes,
        part: &Learner,
    ) -> Result<(), PortError> {
        let Moving { from, into, now, trace_id } = moving;
        let write = Write { user: into, before, now, trace_id };
        let tables = &self.tables;
        let mut parts = learner::parts(tables, write, changes)?;
        let left = Write { user: from, before: part, now, trace_id };
        parts.extend(learner::parts(tables, left, &Changes::default())?);
        parts.extend(learner::removal_parts(tables, from, part)?);
        for (target, enrollment) in &part.enrollments {
            parts.push(enrollments::removal_part(tables, from, enrollment)?);
            if merge::places_freed(before.enrollments.get(target), enrollment) {
                parts.push(enrollments::place_freed_part(tables, target)?);
            }
        }
        tables.transact("move what somebody learned", parts).await
    }

    /// Moves some attempts that were submitted; whether there may be more.
    pub async fn move_attempts(&self, moving: Moving<'_>) -> Result<bool, PortError> {
        let attempts =
            self.tables.raw(Table::Attempts, moving.from, "attempt#", MOVED_AT_ONCE_MAX).await?;
        self.tables.move_items(Table::Attempts, moving, attempts, Vec::new()).await
    }

    /// Moves some attempts that are open, but those at quizzes that the survivor has begun as well,
    /// which go; whether there may be more.
    pub async fn move_open_attempts(&self, moving: Moving<'_>) -> Result<bool, PortError> {
        self.tables.move_each(Table::Attempts, moving, "open#", |_| Ok(None)).await
    }

    /// Moves some badges that were given by hand, but those that the survivor has as well, which go;
    /// whether there may be more. The others follow from what was learned and are awarded to the
    /// survivor.
    pub async fn move_given_badges(&self, moving: Moving<'_>) -> Result<bool, PortError> {
        self.tables.move_each(Table::Badges, moving, badges::BY_HAND, |_| Ok(None)).await
    }

    /// Moves some certificates, which keep their ids, so that what was shown to others stays true;
    /// whether there may be more. Where the survivor has one for the same, that one counts; the other
    /// goes, and its place in a status list counts no more.
    pub async fn move_certificates(&self, moving: Moving<'_>) -> Result<bool, PortError> {
        let dropped =
            |item: &Attributes| certificates::dropped_part(&self.tables, item, moving.now);
        self.tables.move_each(Table::Certificates, moving, "", dropped).await
    }

    /// Moves some pieces of work, more of them than fit on a shelf if it has to be; whether there may
    /// be more.
    pub async fn move_pieces(&self, moving: Moving<'_>, on: Shelf) -> Result<bool, PortError> {
        let prefix = portfolio::shelf_prefix(on);
        let pieces =
            self.tables.raw(Table::Portfolio, moving.from, &prefix, MOVED_AT_ONCE_MAX).await?;
        let counted = portfolio::moved_part(&self.tables, moving.into, on, pieces.len())?;
        self.tables.move_items(Table::Portfolio, moving, pieces, vec![counted]).await
    }

    /// Moves what is linked to the account: the names that are held for it, its connections, and the
    /// accounts that were merged into it. Nobody finds it any more.
    pub async fn move_links(
        &self,
        merge: &Unfinished,
        moving: Moving<'_>,
    ) -> Result<(), PortError> {
        let tables = &self.tables;
        let Moving { from, into, now, trace_id } = moving;
        leave_directory(tables, from, &merge.places).await?;
        users::move_held_names(tables, (from, into), (now, trace_id)).await?;
        users::move_connections(tables, (from, into), (now, trace_id)).await?;
        // So few that one write moves them.
        let absorbed = tables.raw(Table::Users, from, users::ABSORBED, MOVED_AT_ONCE_MAX).await?;
        tables.move_items(Table::Users, moving, absorbed, Vec::new()).await.map(drop)
    }

    /// Removes what nobody needs any more: counters, what is kept for repeated requests, sessions, and
    /// badges that follow from what was learned.
    pub async fn remove_rest(&self, from: &UserId) -> Result<(), PortError> {
        let rest = [Table::Progress, Table::Portfolio, Table::Badges, Table::Edge];
        for table in rest {
            self.tables.remove_personal(table, from, |_| true).await?;
        }
        Ok(())
    }

    /// Whether the CRM has let go of the account's contact, strongly consistent.
    pub async fn is_out_of_crm(&self, from: &UserId) -> Result<bool, PortError> {
        crm::is_removed(&self.tables, from).await
    }

    /// Finishes a merge: only the tombstone is left. `survivor` is who has the address from now on, if
    /// there was one to take over; `Conflict` when they changed in between.
    pub async fn finish(
        &self,
        merge: &Unfinished,
        survivor: &User,
        moving: Moving<'_>,
    ) -> Result<(), PortError> {
        let operation = "finish a merge";
        let mut update = ItemUpdate::of(&partition(&merge.from), TOMBSTONE)
            .name("erase_shard")
            .only_if("attribute_exists(#erase_shard)");
        for attribute in ["erase_shard", "erase_at", "closed_at", "places", "email"] {
            update = update.remove(attribute);
        }
        let mut parts = vec![update.into_part(self.tables.name(Table::Users))?];
        if let Some(email) = &merge.email {
            let write = (moving.now, moving.trace_id);
            parts.extend(users::settle_address_parts(&self.tables, survivor, email, write)?);
        }
        match self.tables.commit(operation, parts).await? {
            // Refused is the condition that it is unfinished: somebody else was first.
            Applied::All | Applied::Refused(0) => Ok(()),
            Applied::Refused(_) => {
                let text = "the survivor changed meanwhile";
                Err(PortError::new(operation, PortErrorClass::Conflict, text))
            }
        }
    }
}

/// Removes the accounts that were merged into somebody who is being erased, with all that is left of
/// them.
pub(crate) async fn discard_absorbed(tables: &Tables, user: &UserId) -> Result<(), PortError> {
    let mut waiting = users::absorbed(tables, user).await?;
    for _account in 0..MERGE_CHAIN_MAX {
        let Some(absorbed) = waiting.pop() else { return Ok(()) };
        waiting.extend(users::absorbed(tables, &absorbed).await?);
        let tombstone = users::tombstone(tables, &absorbed).await?;
        if let Some(tombstone) = tombstone {
            leave_directory(tables, &absorbed, &tombstone.places).await?;
            if let Some(email) = &tombstone.email {
                let part = users::release_address_part(tables, email, user)?;
                tables.commit("release an address", vec![part]).await?;
            }
        }
        users::free_held_names(tables, &absorbed).await?;
        users::end_connections(tables, &absorbed).await?;
        for table in crate::erasure::REMOVED {
            tables.remove_personal(table, &absorbed, |_| true).await?;
        }
        tables.remove_personal(Table::Users, &absorbed, |_| true).await?;
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let text = "too many accounts were merged into one";
    Err(PortError::new("remove merged accounts", PortErrorClass::Corrupt, text))
}

/// Nobody finds an account in the directory any more. A place that is the survivor's by now stays.
async fn leave_directory(
    tables: &Tables,
    user: &UserId,
    places: &[(String, String)],
) -> Result<(), PortError> {
    for (pk, sk) in places {
        let delete = Delete::builder()
            .table_name(tables.name(Table::Directory))
            .set_key(Some(key(pk, sk)))
            .condition_expression("user_id = :user")
            .expression_attribute_values(":user", text(user.as_str()));
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        let part = TransactWriteItem::builder().delete(delete).build();
        tables.commit("leave the directory", vec![part]).await?;
    }
    Ok(())
}

impl Tables {
    /// The first items of a user's partition whose sort keys begin with `prefix`, as they are stored,
    /// strongly consistent.
    async fn raw(
        &self,
        table: Table,
        user: &UserId,
        prefix: &str,
        items_max: i32,
    ) -> Result<Vec<Attributes>, PortError> {
        let page = self
            .client
            .query()
            .table_name(self.name(table))
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(partition(user)))
            .expression_attribute_values(":prefix", text(prefix))
            .consistent_read(true)
            .limit(items_max)
            .send()
            .await
            .map_err(failed("query items"))?;
        Ok(page.items.unwrap_or_default())
    }

    /// Moves items from one user's partition to another's, together with `more`; whether there were
    /// any.
    async fn move_items(
        &self,
        table: Table,
        moving: Moving<'_>,
        items: Vec<Attributes>,
        more: Vec<TransactWriteItem>,
    ) -> Result<bool, PortError> {
        if items.is_empty() {
            return Ok(false);
        }
        let mut parts = more;
        for item in items {
            parts.push(self.remove_part(table, &item, moving.from)?);
            parts.push(self.put_moved(table, item, moving.into)?);
        }
        self.transact("move items", parts).await?;
        Ok(true)
    }

    /// Moves items from one user's partition to another's, each in one transaction, so that none is in
    /// both; whether there may be more. An item whose like is there goes, together with what `dropped`
    /// writes for it. One that changed since it was read stays, and is read again with those that are
    /// left.
    async fn move_each(
        &self,
        table: Table,
        moving: Moving<'_>,
        prefix: &str,
        dropped: impl Fn(&Attributes) -> Result<Option<TransactWriteItem>, PortError>,
    ) -> Result<bool, PortError> {
        let operation = "move an item";
        let items = self.raw(table, moving.from, prefix, MOVED_AT_ONCE_MAX).await?;
        let more = !items.is_empty();
        for item in items {
            let removed = self.remove_part(table, &item, moving.from)?;
            let dropping = [Some(removed.clone()), dropped(&item)?];
            let put = self.put_moved(table, item, moving.into)?;
            if self.commit(operation, vec![removed, put]).await? == Applied::Refused(1) {
                self.commit(operation, dropping.into_iter().flatten().collect()).await?;
            }
        }
        Ok(more)
    }

    /// The removal of an item of a user's partition, as it was read: what carries a version is still of
    /// that version, and everything else is there.
    fn remove_part(
        &self,
        table: Table,
        item: &Attributes,
        user: &UserId,
    ) -> Result<TransactWriteItem, PortError> {
        let sort = item.get(SORT_KEY).and_then(|sort| sort.as_s().ok()).cloned();
        let delete = Delete::builder()
            .table_name(self.name(table))
            .set_key(Some(key(&partition(user), &sort.unwrap_or_default())));
        let delete = match item.get("version") {
            Some(version) => delete
                .condition_expression("version = :version")
                .expression_attribute_values(":version", version.clone()),
            None => delete.condition_expression("attribute_exists(pk)"),
        };
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// An item in another user's partition, if there is none like it.
    fn put_moved(
        &self,
        table: Table,
        mut item: Attributes,
        into: &UserId,
    ) -> Result<TransactWriteItem, PortError> {
        item.insert(PARTITION_KEY.to_owned(), text(partition(into)));
        let put = Put::builder()
            .table_name(self.name(table))
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        let put = put.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}
