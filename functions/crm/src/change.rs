//! From a changed item to what the CRM has to hear about: the user and facet that changed, and what
//! happened for the first time.

use rollcall_crm::milestone::{AccountImage, Milestone, of_account};
use rollcall_crm::pending::Dirty;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use serde::Deserialize;
use serde_dynamo::{Item, from_item};

/// The sort key of a user's own item among those of the table of users.
const PROFILE: &str = "profile";

/// The keys of an item.
#[derive(Debug, Deserialize)]
pub(crate) struct Keys {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

/// The table of a stream, by the stream's ARN.
pub(crate) fn table_of(stream_arn: &str, stage: &str) -> Option<Table> {
    let (_, rest) = stream_arn.split_once(":table/")?;
    let (name, _) = rest.split_once("/stream/")?;
    let mut streamed = Table::ALL.into_iter().filter(|table| table.has_stream());
    streamed.find(|table| table.full_name(stage) == name)
}

/// What the CRM has to hear about after a change in `table`; `None` for items that are no part of a
/// user's state, such as the claim on an identity.
pub(crate) fn dirty(table: Table, key: &str, trace_id: Option<String>) -> Option<Dirty> {
    let facet = match table {
        Table::Users => Facet::Identity,
        Table::Enrollments | Table::Progress => Facet::Learning,
        Table::Attempts
        | Table::Catalog
        | Table::Crm
        | Table::Edge
        | Table::Audit
        | Table::Mail
        | Table::Directory
        | Table::Portfolio
        | Table::Badges => return None,
    };
    Some(Dirty { user: user(key)?, facet, trace_id })
}

fn user(key: &str) -> Option<UserId> {
    key.strip_prefix("user#")?.parse().ok()
}

/// What milestones need of a user's item. Items of before an attribute was thought of lack it.
#[derive(Debug, Default, Deserialize)]
struct AccountItem {
    joined_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    standing: Option<StandingItem>,
}

#[derive(Debug, Deserialize)]
struct StandingItem {
    erase_at: Option<Timestamp>,
}

/// The milestones of a change in `table`. An image without attributes is none.
pub(crate) fn milestones(
    table: Table,
    keys: &Keys,
    before: Item,
    after: Item,
) -> Result<Vec<Milestone>, serde_dynamo::Error> {
    let account = table == Table::Users && keys.sk == PROFILE;
    let Some(user) = user(&keys.pk).filter(|_| account) else {
        return Ok(Vec::new());
    };
    let (before, after) = (account_image(before)?, account_image(after)?);
    Ok(of_account(&user, before.as_ref(), after.as_ref()))
}

fn account_image(item: Item) -> Result<Option<AccountImage>, serde_dynamo::Error> {
    let item: AccountItem = from_item(item)?;
    let erase_at = item.standing.and_then(|standing| standing.erase_at);
    let seen = item.joined_at.zip(item.last_seen_at);
    Ok(seen.map(|(joined_at, last_seen_at)| AccountImage {
        joined_at,
        last_seen_at,
        erase_at,
        updated_at: item.updated_at.unwrap_or(last_seen_at),
    }))
}

#[cfg(test)]
mod tests {
    use rollcall_crm::milestone::MilestoneKind;
    use rollcall_domain::random::SeededRandom;
    use serde_json::{Value, json};

    use super::*;

    fn image(image: &Value) -> Item {
        serde_dynamo::to_item(image).unwrap()
    }

    fn check(sort_key: &str, before: &Value, after: &Value, expected: &[MilestoneKind]) {
        let user = UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(1));
        let keys = Keys { pk: format!("user#{user}"), sk: sort_key.to_owned() };
        let found = milestones(Table::Users, &keys, image(before), image(after)).unwrap();
        let kinds: Vec<MilestoneKind> = found.iter().map(|milestone| milestone.kind).collect();
        assert_eq!(kinds, expected, "{before} {after}");
    }

    #[test]
    fn images_as_they_are_stored_give_milestones_and_other_items_none() {
        use MilestoneKind::{DeletionAsked, Joined, SignedIn};
        let none = json!({});
        let old = json!({
            "joined_at": "2026-11-21T06:00:00Z", "last_seen_at": "2026-11-21T06:00:00Z",
            "email": "a@b.c", "version": 1,
        });
        let mut leaving = old.clone();
        leaving["standing"] = json!({ "is": "leaving", "erase_at": "2026-11-28T06:00:00Z" });
        let mut active = old.clone();
        active["standing"] = json!({ "is": "active" });
        check("profile", &none, &old, &[Joined, SignedIn]);
        check("profile", &old, &active, &[]);
        check("profile", &active, &leaving, &[DeletionAsked]);
        check("profile", &leaving, &leaving, &[]);
        check("profile", &leaving, &none, &[]);
        check("identity#a#b", &none, &old, &[]);
    }
}
