//! Claims and invitations in the table `mail`.
//!
//! | partition key | sort key | item |
//! |---|---|---|
//! | `claim#{id}` | `claim` | somebody asked for an account; listed by the index `due` until it is answered |
//! | `address#{hash of the address}` | `correspondence` | when an address was answered, and its invitation |
//! | `invitation#{hash of the token}` | `invitation` | an invitation |
//! | `invited` | `{id}` | that an operator sent an invitation, and which; it names nobody |
//!
//! An answer is one transaction: the claim goes, the correspondence moves on by one version, the
//! mail and its invitation come, and the invitation before goes. Of any number of claims for one
//! address that are answered at once, one is, and the others find it answered. Everything expires.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::builders::DeleteBuilder;
use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::try_join_all;
use rollcall_domain::audit::Entry;
use rollcall_domain::id::{ClaimId, InvitationId, MailId};
use rollcall_domain::invitation::{Correspondence, Invitation, InvitationHash, Sent};
use rollcall_domain::limits::{
    CLAIM_ANSWERS_SECONDS, CLAIM_KEPT_SECONDS, INVITATION_KEPT_SECONDS, MAIL_LEASE_SECONDS,
};
use rollcall_domain::mail::{Address, Mail};
use rollcall_domain::port::PortError;
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::table::MAIL_DUE;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{corrupt, failed};
use crate::item::{Order, PageQuery, from_item, key, number, sortable, text};
use crate::tables::{Tables, capability};
use crate::update::{Applied, ItemUpdate};
use crate::vault::Sealed;
use crate::{audit, mail};

const CLAIM: &str = "claim";
const CORRESPONDENCE: &str = "correspondence";
const INVITATION: &str = "invitation";
/// The partition of the list of invitations that operators sent: as many as operators write.
const INVITED: &str = "invited";
/// Before the hash in an invitation's partition key.
const INVITATION_PREFIX: &str = "invitation#";
/// Before the id in a claim's partition key.
const CLAIM_PREFIX: &str = "claim#";
/// Parts of the index of claims that are due: one part alone would bound how much can be written.
const DUE_SHARDS: u8 = 4;

/// A claim that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingClaim {
    /// Which.
    pub id: ClaimId,
    /// How often it was taken.
    pub attempts: u32,
}

/// A claim in the hands of one who answers it.
#[derive(Clone, Debug)]
pub struct TakenClaim {
    /// Which.
    pub id: ClaimId,
    /// For which address.
    pub address: Address,
    /// When somebody asked.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The id through which the request can be found in logs.
    pub trace_id: String,
}

/// What an answer stores beside the correspondence.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// A mail, if one is sent.
    pub mail: Option<Mail<Sealed>>,
    /// The invitation that it carries.
    pub invitation: Option<Invitation>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClaimItem {
    pk: String,
    sk: String,
    claim_id: ClaimId,
    address: Address,
    attempts: u32,
    created_at: Timestamp,
    due_shard: String,
    due_at: String,
    expires_at: i64,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct CorrespondenceItem {
    pk: String,
    sk: String,
    answered_at: Vec<Timestamp>,
    invitation: Option<String>,
    expires_at: i64,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct InvitationItem {
    pk: String,
    sk: String,
    address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// As what operators see it, if one of them sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_as: Option<InvitationId>,
    created_at: Timestamp,
    accepted_at: Option<Timestamp>,
    /// When it can no longer be accepted, for conditions: in seconds since the epoch.
    ends_at: i64,
    expires_at: i64,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl InvitationItem {
    /// The invitation, and how its reader is addressed.
    fn read(self) -> (Invitation, Option<String>) {
        let Self { pk, address, created_at, accepted_at, name, .. } = self;
        let hash = pk.strip_prefix(INVITATION_PREFIX).unwrap_or_default().to_owned();
        let hash = InvitationHash::stored(hash);
        (Invitation { hash, address, created_at, accepted_at }, name)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct InvitedItem {
    pk: String,
    sk: InvitationId,
    hash: String,
    mail_id: MailId,
    invited_by: String,
    created_at: Timestamp,
    expires_at: i64,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl InvitedItem {
    fn sent(self, kept: Option<InvitationItem>) -> Sent {
        let (kept, name) = kept.map(InvitationItem::read).unzip();
        Sent {
            id: self.sk,
            hash: InvitationHash::stored(self.hash),
            invited_by: self.invited_by,
            created_at: self.created_at,
            name: name.flatten(),
            kept,
        }
    }
}

#[derive(Debug, Deserialize)]
struct DueItem {
    claim_id: ClaimId,
    attempts: u32,
}

fn claim_key(id: &ClaimId) -> String {
    format!("{CLAIM_PREFIX}{id}")
}

/// An address is not to be read in keys, and keys outlive items in logs.
fn address_key(address: &Address) -> String {
    let hash = Sha256::digest(address.as_str().as_bytes());
    format!("address#{}", URL_SAFE_NO_PAD.encode(hash))
}

fn invitation_key(hash: &InvitationHash) -> String {
    format!("{INVITATION_PREFIX}{hash}")
}

/// Forgets that an address was ever written to: claims and mails that wait, its invitation, and when it
/// was answered. Claims go first, so that none is answered behind the rest.
pub(crate) async fn forget(tables: &Tables, email: &str) -> Result<(), PortError> {
    // What is no address of a mail was never written to.
    let Ok(address) = Address::parse(email) else { return Ok(()) };
    for shard in (0..DUE_SHARDS).map(shard_name) {
        mail::forget_waiting(tables, &shard, &address).await?;
    }
    for shard in mail::shard_names() {
        mail::forget_waiting(tables, &shard, &address).await?;
    }
    let pk = address_key(&address);
    let known: Option<CorrespondenceItem> = tables.get(Table::Mail, &pk, CORRESPONDENCE).await?;
    let invitation = known.and_then(|known| known.invitation).map(InvitationHash::stored);
    let invitation = invitation.map(|hash| (invitation_key(&hash), INVITATION));
    for (pk, sk) in invitation.into_iter().chain([(pk, CORRESPONDENCE)]) {
        let delete = tables.client.delete_item().table_name(tables.name(Table::Mail));
        let delete = delete.set_key(Some(key(&pk, sk)));
        delete.send().await.map_err(failed("forget an address"))?;
    }
    Ok(())
}

/// The claim that an item of the table is, by the item's key; `None` for items of other kinds.
pub fn claim_of(partition_key: &str) -> Option<ClaimId> {
    partition_key.strip_prefix(CLAIM_PREFIX)?.parse().ok()
}

fn shard_name(shard: u8) -> String {
    format!("claim#{shard}")
}

/// The part of the index that lists a claim. The last digit of an id is random.
fn shard(id: &ClaimId) -> String {
    shard_name(id.as_str().bytes().last().unwrap_or_default() % DUE_SHARDS)
}

capability! {
    /// Writes claims down.
    ClaimWriter, Grant::table(Table::Mail, &["dynamodb:PutItem"])
}

impl ClaimWriter {
    /// Stores that somebody asked for an account for `address`. What is done is the same for every
    /// address.
    pub async fn write(
        &self,
        id: &ClaimId,
        address: &Address,
        now: Timestamp,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let item = ClaimItem {
            pk: claim_key(id),
            sk: CLAIM.to_owned(),
            claim_id: id.clone(),
            address: address.clone(),
            attempts: 0,
            created_at: now,
            due_shard: shard(id),
            due_at: sortable(now),
            expires_at: after_seconds(now, CLAIM_KEPT_SECONDS).as_second(),
            version: 1,
            updated_at: now,
            trace_id: trace_id.to_owned(),
        };
        self.tables.put_version(Table::Mail, &item, 1).await
    }
}

capability! {
    /// Takes claims, and answers them.
    ClaimAnswerer,
    Grant::table(
        Table::Mail,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    ),
    Grant::index(Table::Mail, MAIL_DUE.name),
}

impl ClaimAnswerer {
    /// Claims that are due; the index may be a moment behind.
    pub async fn due(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<WaitingClaim>, PortError> {
        let of_shards = (0..DUE_SHARDS).map(|shard| self.due_of_shard(shard, now, rows_max));
        let mut rows = try_join_all(of_shards).await?.concat();
        // Ids sort by time.
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        rows.truncate(rows_max);
        Ok(rows)
    }

    async fn due_of_shard(
        &self,
        shard: u8,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<WaitingClaim>, PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Mail))
            .index_name(MAIL_DUE.name)
            .key_condition_expression("#shard = :shard AND #due <= :now")
            .expression_attribute_names("#shard", MAIL_DUE.partition_key)
            .expression_attribute_names("#due", MAIL_DUE.sort_key)
            .expression_attribute_values(":shard", text(shard_name(shard)))
            .expression_attribute_values(":now", text(sortable(now)))
            .limit(i32::try_from(rows_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("list claims that are due"))?;
        let items = page.items.unwrap_or_default().into_iter();
        let rows = items.map(|item| {
            let DueItem { claim_id, attempts } = from_item(item)?;
            Ok(WaitingClaim { id: claim_id, attempts })
        });
        rows.collect()
    }

    /// Takes a claim, to answer it within [`MAIL_LEASE_SECONDS`]; `None` when somebody else took it
    /// or it is answered.
    pub async fn take(
        &self,
        waiting: &WaitingClaim,
        now: Timestamp,
    ) -> Result<Option<TakenClaim>, PortError> {
        let attempt = waiting.attempts.saturating_add(1);
        let update = held(&waiting.id, waiting.attempts)
            .set_to("attempts", ":attempt")
            .value("attempt", number(attempt))
            .set("due_at", text(sortable(after_seconds(now, MAIL_LEASE_SECONDS))));
        let Some(before) = self.tables.apply("take a claim", Table::Mail, update).await? else {
            return Ok(None);
        };
        let ClaimItem { claim_id, address, created_at, trace_id, .. } = from_item(before)?;
        Ok(Some(TakenClaim { id: claim_id, address, created_at, attempt, trace_id }))
    }

    /// What an address was answered lately, strongly consistent.
    pub async fn correspondence(&self, address: &Address) -> Result<Correspondence, PortError> {
        correspondence(&self.tables, address).await
    }

    /// Answers a claim: all of it is stored, or nothing. `next` is the correspondence that follows
    /// `before`. `false` when another answer was first, or the claim is in other hands.
    pub async fn answer(
        &self,
        claim: &TakenClaim,
        (before, next): (&Correspondence, &Correspondence),
        answer: &Answer,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let said = Said { address: &claim.address, before, next, now, trace_id: &claim.trace_id };
        let mut parts = vec![self.answered(claim)?];
        parts.push(said.correspondence_part(&self.tables)?);
        if let Some(mail) = &answer.mail {
            parts.push(mail::part(&self.tables, mail, &claim.trace_id)?);
        }
        if let Some(invitation) = &answer.invitation {
            let item = invitation_item(invitation, &claim.trace_id);
            parts.extend(said.invitation_parts(&self.tables, &item)?);
        }
        let applied = self.tables.commit("answer a claim", parts).await?;
        Ok(applied == Applied::All)
    }

    /// Removes a claim to which there is nothing to say.
    pub async fn forget(&self, claim: &TakenClaim) -> Result<(), PortError> {
        let part = self.answered(claim)?;
        self.tables.commit("forget a claim", vec![part]).await.map(drop)
    }

    /// The claim waits until `due_at`.
    pub async fn later(&self, claim: &TakenClaim, due_at: Timestamp) -> Result<(), PortError> {
        let update = held(&claim.id, claim.attempt).set("due_at", text(sortable(due_at)));
        self.tables.apply("put a claim off", Table::Mail, update).await.map(drop)
    }

    /// Removes a claim, if it is still in these hands.
    fn answered(&self, claim: &TakenClaim) -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder()
            .set_key(Some(key(&claim_key(&claim.id), CLAIM)))
            .condition_expression("attempts = :attempts")
            .expression_attribute_values(":attempts", number(claim.attempt));
        delete_part(&self.tables, delete)
    }
}

async fn correspondence(tables: &Tables, address: &Address) -> Result<Correspondence, PortError> {
    let pk = address_key(address);
    let item: Option<CorrespondenceItem> = tables.get(Table::Mail, &pk, CORRESPONDENCE).await?;
    Ok(item.map_or_else(Correspondence::default, |item| Correspondence {
        answered_at: item.answered_at,
        invitation: item.invitation.map(InvitationHash::stored),
        version: item.version,
    }))
}

/// What is said to an address now.
struct Said<'said> {
    address: &'said Address,
    before: &'said Correspondence,
    next: &'said Correspondence,
    now: Timestamp,
    trace_id: &'said str,
}

impl Said<'_> {
    /// The correspondence with the address, if nobody else has written to it meanwhile.
    fn correspondence_part(&self, tables: &Tables) -> Result<TransactWriteItem, PortError> {
        let Self { address, next, now, .. } = self;
        let item = CorrespondenceItem {
            pk: address_key(address),
            sk: CORRESPONDENCE.to_owned(),
            answered_at: next.answered_at.clone(),
            invitation: next.invitation.as_ref().map(ToString::to_string),
            // As long as an answer counts, and as its invitation is kept, which is found through it.
            expires_at: after_seconds(*now, CLAIM_ANSWERS_SECONDS.max(INVITATION_KEPT_SECONDS))
                .as_second(),
            version: next.version,
            updated_at: *now,
            trace_id: self.trace_id.to_owned(),
        };
        tables.put_version_part(Table::Mail, &item, next.version)
    }

    /// A new invitation, in place of the one that was out.
    fn invitation_parts(
        &self,
        tables: &Tables,
        item: &InvitationItem,
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let mut parts = vec![tables.put_version_part(Table::Mail, item, 1)?];
        if let Some(replaced) = &self.before.invitation {
            let key = key(&invitation_key(replaced), INVITATION);
            parts.push(delete_part(tables, Delete::builder().set_key(Some(key)))?);
        }
        Ok(parts)
    }
}

fn delete_part(tables: &Tables, delete: DeleteBuilder) -> Result<TransactWriteItem, PortError> {
    let delete = delete.table_name(tables.name(Table::Mail)).build();
    let delete = delete.map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// A change of a claim that was taken `attempts` times.
fn held(id: &ClaimId, attempts: u32) -> ItemUpdate {
    ItemUpdate::of(&claim_key(id), CLAIM)
        .name("attempts")
        .value("attempts", number(attempts))
        .only_if("#attempts = :attempts")
}

fn invitation_item(invitation: &Invitation, trace_id: &str) -> InvitationItem {
    InvitationItem {
        pk: invitation_key(&invitation.hash),
        sk: INVITATION.to_owned(),
        address: invitation.address.clone(),
        name: None,
        listed_as: None,
        created_at: invitation.created_at,
        accepted_at: invitation.accepted_at,
        ends_at: invitation.ends_at().as_second(),
        expires_at: after_seconds(invitation.created_at, INVITATION_KEPT_SECONDS).as_second(),
        version: 1,
        updated_at: invitation.created_at,
        trace_id: trace_id.to_owned(),
    }
}

capability! {
    /// Reads invitations.
    InvitationReader, Grant::table(Table::Mail, &["dynamodb:GetItem"])
}

impl InvitationReader {
    /// The invitation with this hash, strongly consistent; used and expired ones too, for a while.
    pub async fn find(&self, hash: &InvitationHash) -> Result<Option<Invitation>, PortError> {
        let pk = invitation_key(hash);
        let item: Option<InvitationItem> = self.tables.get(Table::Mail, &pk, INVITATION).await?;
        Ok(item.map(|item| item.read().0))
    }
}

capability! {
    /// Accepts invitations, each once.
    InvitationAccepter, Grant::table(Table::Mail, &["dynamodb:UpdateItem"])
}

impl InvitationAccepter {
    /// Notes that the reader of `address` made an account with an invitation, and forgets the
    /// address and the name. `false`: the invitation is somebody else's, was accepted before, or has expired.
    pub async fn accept(
        &self,
        hash: &InvitationHash,
        address: &Address,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let update = ItemUpdate::of(&invitation_key(hash), INVITATION)
            .name("address")
            .name("ends_at")
            .value("invited", text(address.as_str()))
            .value("now", number(now.as_second()))
            .set("accepted_at", text(now.to_string()))
            .remove("address")
            .remove("name")
            .only_if("#address = :invited AND #ends_at > :now");
        let accepted = self.tables.apply("accept an invitation", Table::Mail, update).await?;
        Ok(accepted.is_some())
    }
}

/// An invitation that an operator sends now.
#[derive(Debug)]
pub struct NewInvitation<'new> {
    /// What was said to the address before.
    pub before: &'new Correspondence,
    /// What follows from it.
    pub next: &'new Correspondence,
    /// The invitation, as operators see it.
    pub sent: &'new Sent,
    /// Whom it invites.
    pub address: &'new Address,
    /// The mail that carries it.
    pub mail: &'new Mail<Sealed>,
    /// What the audit log is told.
    pub entry: &'new Entry,
}

capability! {
    /// Invites people in the name of an operator, and tells the audit log.
    PersonInviter,
    Grant::table(Table::Mail, &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"]),
    audit::APPEND,
}

impl PersonInviter {
    /// What an address was answered lately, strongly consistent.
    pub async fn correspondence(&self, address: &Address) -> Result<Correspondence, PortError> {
        correspondence(&self.tables, address).await
    }

    /// The invitation of this hash, if an operator sent it, strongly consistent.
    pub async fn sent(&self, hash: &InvitationHash) -> Result<Option<Sent>, PortError> {
        let pk = invitation_key(hash);
        let kept: Option<InvitationItem> = self.tables.get(Table::Mail, &pk, INVITATION).await?;
        let Some(id) = kept.as_ref().and_then(|kept| kept.listed_as.clone()) else {
            return Ok(None);
        };
        let listed: Option<InvitedItem> =
            self.tables.get(Table::Mail, INVITED, id.as_str()).await?;
        Ok(listed.map(|listed| listed.sent(kept)))
    }

    /// Stores an invitation with its mail: all of it, or nothing. `false` when somebody else wrote to
    /// the address in between.
    pub async fn invite(&self, new: &NewInvitation<'_>) -> Result<bool, PortError> {
        let NewInvitation { before, next, sent, address, mail, entry } = new;
        let (tables, now, trace_id) = (&self.tables, entry.at, entry.trace_id.as_str());
        let Some(kept) = &sent.kept else { return Ok(false) };
        let item = InvitationItem {
            name: sent.name.clone(),
            listed_as: Some(sent.id.clone()),
            ..invitation_item(kept, trace_id)
        };
        let listed = InvitedItem {
            pk: INVITED.to_owned(),
            sk: sent.id.clone(),
            hash: sent.hash.to_string(),
            mail_id: mail.id.clone(),
            invited_by: sent.invited_by.clone(),
            created_at: sent.created_at,
            expires_at: item.expires_at,
            version: 1,
            updated_at: now,
            trace_id: trace_id.to_owned(),
        };
        let said = Said { address, before, next, now, trace_id };
        let mut parts = vec![said.correspondence_part(tables)?];
        parts.extend(said.invitation_parts(tables, &item)?);
        parts.push(tables.put_version_part(Table::Mail, &listed, 1)?);
        parts.push(mail::part(tables, mail, trace_id)?);
        parts.push(audit::part(tables, entry)?);
        Ok(tables.commit("invite somebody", parts).await? == Applied::All)
    }
}

/// A page of invitations that operators sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationPage {
    /// The newest first.
    pub invitations: Vec<Sent>,
    /// Where the next page begins; none on the last page.
    pub position: Option<InvitationId>,
}

capability! {
    /// Lists the invitations that operators sent.
    InvitationLister,
    Grant::table(Table::Mail, &["dynamodb:BatchGetItem", "dynamodb:Query"]),
}

impl InvitationLister {
    /// The invitations behind a position that an earlier page named, strongly consistent.
    pub async fn list(
        &self,
        position: Option<&InvitationId>,
        entries_max: usize,
    ) -> Result<InvitationPage, PortError> {
        let operation = "list invitations";
        let page = PageQuery {
            table: Table::Mail,
            index: None,
            partition: INVITED,
            prefix: "",
            order: Order::Descending,
            start: position.map(|id| key(INVITED, id.as_str())),
            items_max: entries_max,
        };
        let (listed, more) = self.tables.page::<InvitedItem>(operation, page).await?;
        let position = listed.last().filter(|_| more).map(|last| last.sk.clone());
        let keys = listed.iter().map(|item| {
            let hash = InvitationHash::stored(item.hash.clone());
            key(&invitation_key(&hash), INVITATION)
        });
        let kept: Vec<InvitationItem> =
            self.tables.get_all(operation, Table::Mail, keys.collect()).await?;
        let mut kept: HashMap<InvitationId, InvitationItem> =
            kept.into_iter().filter_map(|item| Some((item.listed_as.clone()?, item))).collect();
        let invitations = listed.into_iter().map(|item| {
            let kept = kept.remove(&item.sk);
            item.sent(kept)
        });
        Ok(InvitationPage { invitations: invitations.collect(), position })
    }
}

/// What became of an invitation that was to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// Nobody accepts it any more.
    Done,
    /// There is no such invitation.
    NotThere,
    /// An account was made with it.
    Accepted,
}

capability! {
    /// Takes back invitations that operators sent, and tells the audit log.
    InvitationWithdrawer,
    Grant::table(Table::Mail, &["dynamodb:DeleteItem", "dynamodb:GetItem"]),
    audit::APPEND,
}

impl InvitationWithdrawer {
    /// Removes an invitation that nobody accepted, with its mail if that is still waiting. That its
    /// reader was written to is remembered, so they are not written to again at once.
    pub async fn withdraw(&self, id: &InvitationId, entry: &Entry) -> Result<Withdrawn, PortError> {
        let tables = &self.tables;
        let listed: Option<InvitedItem> = tables.get(Table::Mail, INVITED, id.as_str()).await?;
        let Some(listed) = listed else { return Ok(Withdrawn::NotThere) };
        let hash = InvitationHash::stored(listed.hash);
        let row = Delete::builder()
            .set_key(Some(key(INVITED, id.as_str())))
            .condition_expression("attribute_exists(pk)");
        let invitation = Delete::builder()
            .set_key(Some(key(&invitation_key(&hash), INVITATION)))
            .condition_expression(
                "attribute_not_exists(accepted_at) OR attribute_type(accepted_at, :none)",
            )
            .expression_attribute_values(":none", text("NULL"));
        let parts = vec![
            delete_part(tables, row)?,
            delete_part(tables, invitation)?,
            mail::forget_part(tables, &listed.mail_id)?,
            audit::part(tables, entry)?,
        ];
        Ok(match tables.commit("withdraw an invitation", parts).await? {
            Applied::All => Withdrawn::Done,
            Applied::Refused(1) => Withdrawn::Accepted,
            Applied::Refused(_) => Withdrawn::NotThere,
        })
    }
}
