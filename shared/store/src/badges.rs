//! The table `badges`: under `user#{id}`, an item `badge#{kind}#{slug}` per badge; the one for a first
//! module is `badge#first_module`, since there is one. A badge is written once and never changes; one
//! that was given by hand may be taken back.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use rollcall_domain::audit::Entry;
use rollcall_domain::badge::{Badge, BadgeKind, BadgeName};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::PortError;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::Timestamp;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;
use crate::item::{key, to_item};
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::Applied;
use crate::users::in_use_part;
use crate::{audit, learner};

const PREFIX: &str = "badge#";
/// What the sort keys of badges begin with that were given by hand.
pub(crate) const BY_HAND: &str = "badge#by_hand#";

#[derive(Debug, Serialize, Deserialize)]
struct BadgeItem {
    pk: String,
    sk: String,
    kind: String,
    slug: Slug,
    earned_at: Timestamp,
    #[serde(default)]
    given_by: Option<UserId>,
    /// Whether it follows from what an earlier system told: no milestone of today.
    #[serde(default)]
    is_history: bool,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl TryFrom<BadgeItem> for Badge {
    type Error = PortError;

    fn try_from(item: BadgeItem) -> Result<Self, PortError> {
        let BadgeItem { kind, slug, earned_at, given_by, is_history, .. } = item;
        let kind = BadgeKind::named(&kind).ok_or("no such kind of badge");
        let kind = kind.map_err(corrupt("decode a badge"))?;
        Ok(Self { name: BadgeName { kind, slug }, earned_at, given_by, is_history })
    }
}

fn sort(name: &BadgeName) -> String {
    let BadgeName { kind, slug } = name;
    match kind {
        BadgeKind::FirstModule => format!("{PREFIX}{kind}"),
        BadgeKind::Course
        | BadgeKind::QuickCourse
        | BadgeKind::Pathway
        | BadgeKind::Streak
        | BadgeKind::ByHand => format!("{PREFIX}{kind}#{slug}"),
    }
}

async fn all(tables: &Tables, user: &UserId) -> Result<Vec<Badge>, PortError> {
    // As many as there are courses and pathways that one can have records of, and a few.
    let badges_max = 3 * RECORDS_PER_USER_MAX;
    let items: Vec<BadgeItem> =
        tables.query(Table::Badges, &partition(user), PREFIX, badges_max).await?;
    items.into_iter().map(Badge::try_from).collect()
}

capability! {
    /// Lists badges.
    BadgeLister, Grant::table(Table::Badges, &["dynamodb:Query"])
}

impl BadgeLister {
    /// All badges of a user, strongly consistent, by name.
    pub async fn all(&self, user: &UserId) -> Result<Vec<Badge>, PortError> {
        all(&self.tables, user).await
    }
}

capability! {
    /// Awards badges.
    BadgeAwarder,
    Grant::table(Table::Badges, &["dynamodb:PutItem", "dynamodb:Query"]),
    Grant::table(Table::Users, &["dynamodb:ConditionCheckItem"]),
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query"]),
}

impl BadgeAwarder {
    /// Everything the user did, strongly consistent item by item.
    pub async fn learner(&self, user: &UserId) -> Result<Learner, PortError> {
        learner::load(&self.tables, user).await
    }

    /// All badges of a user, strongly consistent.
    pub async fn all(&self, user: &UserId) -> Result<Vec<Badge>, PortError> {
        all(&self.tables, user).await
    }

    /// Awards a badge; `false` when the user has it, or is no user any more: whoever is being erased or
    /// was merged into another gets none, so nothing is left behind.
    pub async fn award(
        &self,
        user: &UserId,
        badge: &Badge,
        written: (Timestamp, &str),
    ) -> Result<bool, PortError> {
        let parts =
            vec![put_part(&self.tables, user, badge, written)?, in_use_part(&self.tables, user)?];
        Ok(self.tables.commit("award a badge", parts).await? == Applied::All)
    }
}

/// The writing of a badge that is not there yet.
fn put_part(
    tables: &Tables,
    user: &UserId,
    badge: &Badge,
    (now, trace_id): (Timestamp, &str),
) -> Result<TransactWriteItem, PortError> {
    let item = BadgeItem {
        pk: partition(user),
        sk: sort(&badge.name),
        kind: badge.name.kind.as_str().to_owned(),
        slug: badge.name.slug.clone(),
        earned_at: badge.earned_at,
        given_by: badge.given_by.clone(),
        is_history: badge.is_history,
        version: 1,
        updated_at: now,
        trace_id: trace_id.to_owned(),
    };
    let put = Put::builder()
        .table_name(tables.name(Table::Badges))
        .set_item(Some(to_item(&item)?))
        .condition_expression("attribute_not_exists(pk)");
    let put = put.build().map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// What became of a badge that an instructor gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The user has it since now.
    Now,
    /// The user had it already.
    Before,
    /// There is no such user, or they are about to go.
    ToNobody,
}

capability! {
    /// Gives badges by hand.
    BadgeGiver,
    Grant::table(Table::Badges, &["dynamodb:PutItem", "dynamodb:Query"]),
    Grant::table(Table::Users, &["dynamodb:ConditionCheckItem"]),
    audit::APPEND,
}

impl BadgeGiver {
    /// A user's badge, strongly consistent.
    pub async fn find(&self, user: &UserId, name: &BadgeName) -> Result<Option<Badge>, PortError> {
        let badges = all(&self.tables, user).await?;
        Ok(badges.into_iter().find(|badge| badge.name == *name))
    }

    /// Gives a badge, and tells so in the audit log.
    pub async fn give(
        &self,
        user: &UserId,
        badge: &Badge,
        entry: &Entry,
    ) -> Result<Given, PortError> {
        let tables = &self.tables;
        let written = (entry.at, entry.trace_id.as_str());
        let parts = vec![
            in_use_part(tables, user)?,
            put_part(tables, user, badge, written)?,
            audit::part(tables, entry)?,
        ];
        Ok(match tables.commit("give a badge", parts).await? {
            Applied::All => Given::Now,
            Applied::Refused(0) => Given::ToNobody,
            Applied::Refused(_) => Given::Before,
        })
    }
}

capability! {
    /// Takes badges back that were given by hand.
    BadgeTaker, Grant::table(Table::Badges, &["dynamodb:DeleteItem"]), audit::APPEND
}

impl BadgeTaker {
    /// Takes a badge back that was given by hand, and tells so in the audit log; `false` when the user
    /// does not have it.
    pub async fn take_back(
        &self,
        user: &UserId,
        badge: &Slug,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let name = BadgeName { kind: BadgeKind::ByHand, slug: badge.clone() };
        let delete = Delete::builder()
            .table_name(self.tables.name(Table::Badges))
            .set_key(Some(key(&partition(user), &sort(&name))))
            .condition_expression("attribute_exists(pk)");
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        let parts = vec![
            TransactWriteItem::builder().delete(delete).build(),
            audit::part(&self.tables, entry)?,
        ];
        Ok(self.tables.commit("take a badge back", parts).await? == Applied::All)
    }
}
