//! The table `badges`: under `user#{id}`, an item `badge#{kind}#{slug}` per badge; the one for a first
//! module is `badge#first_module`, since there is one. A badge is written once and never changes.

use aws_sdk_dynamodb::types::{ConditionCheck, Put, TransactWriteItem};
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
use crate::learner;
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::Applied;
use crate::users;

const PREFIX: &str = "badge#";

#[derive(Debug, Serialize, Deserialize)]
struct BadgeItem {
    pk: String,
    sk: String,
    kind: String,
    slug: Slug,
    earned_at: Timestamp,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl TryFrom<BadgeItem> for Badge {
    type Error = PortError;

    fn try_from(item: BadgeItem) -> Result<Self, PortError> {
        let BadgeItem { kind, slug, earned_at, .. } = item;
        let kind = BadgeKind::named(&kind).ok_or("no such kind of badge");
        let kind = kind.map_err(corrupt("decode a badge"))?;
        Ok(Self { name: BadgeName { kind, slug }, earned_at })
    }
}

fn sort(name: &BadgeName) -> String {
    let BadgeName { kind, slug } = name;
    match kind {
        BadgeKind::FirstModule => format!("{PREFIX}{kind}"),
        BadgeKind::Course | BadgeKind::QuickCourse | BadgeKind::Pathway => {
            format!("{PREFIX}{kind}#{slug}")
        }
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
        (now, trace_id): (Timestamp, &str),
    ) -> Result<bool, PortError> {
        let build = "build a transaction";
        let item = BadgeItem {
            pk: partition(user),
            sk: sort(&badge.name),
            kind: badge.name.kind.as_str().to_owned(),
            slug: badge.name.slug.clone(),
            earned_at: badge.earned_at,
            version: 1,
            updated_at: now,
            trace_id: trace_id.to_owned(),
        };
        let put = Put::builder()
            .table_name(self.tables.name(Table::Badges))
            .set_item(Some(to_item(&item)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(corrupt(build))?;
        let is_there = ConditionCheck::builder()
            .table_name(self.tables.name(Table::Users))
            .set_key(Some(key(&partition(user), users::PROFILE)))
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(closed_at_ms)")
            .build()
            .map_err(corrupt(build))?;
        let parts = vec![
            TransactWriteItem::builder().put(put).build(),
            TransactWriteItem::builder().condition_check(is_there).build(),
        ];
        Ok(self.tables.commit("award a badge", parts).await? == Applied::All)
    }
}
