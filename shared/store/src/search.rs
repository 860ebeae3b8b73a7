//! The table `directory`, by which members find each other: under `name#{first character}`,
//! `skill#{skill}` and `category#{category}`, an item `{username}` for each user who is found there.
//!
//! It is written in the transaction that changes the user, guarded by the user's version, and has no
//! stream, since nothing in it is news.

use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::search::{Place, PlaceChange, Question, Shelf, Wanted, place_changes};
use rollcall_domain::user::User;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};

use crate::error::corrupt;
use crate::item::{Order, PageQuery, key, to_item};
use crate::tables::{Tables, capability};
use crate::users::{find, find_all};

/// What keeping the index up needs, for capabilities that change users.
pub(crate) const MAINTAIN: Grant =
    Grant::table(Table::Directory, &["dynamodb:DeleteItem", "dynamodb:PutItem"]);

#[derive(Debug, Serialize, Deserialize)]
struct PlaceItem {
    pk: String,
    sk: String,
    user_id: UserId,
}

/// Usernames are spread over one partition per first character.
fn names(username: &str) -> String {
    let first: String = username.chars().take(1).collect();
    format!("name#{first}")
}

fn partition(place: &Place) -> String {
    match &place.shelf {
        Shelf::Names => names(place.username.as_str()),
        Shelf::Skill(skill) => format!("skill#{skill}"),
        Shelf::Category(category) => format!("category#{category}"),
    }
}

/// The key of the item of a place.
pub(crate) fn place_key(place: &Place) -> (String, String) {
    (partition(place), place.username.to_string())
}

/// The part of a transaction that changes the index.
pub(crate) fn part(
    tables: &Tables,
    user: &UserId,
    change: &PlaceChange,
) -> Result<TransactWriteItem, PortError> {
    let table = tables.name(Table::Directory);
    let builder = TransactWriteItem::builder();
    let builder = match change {
        PlaceChange::Enter(place) => {
            let (pk, sk) = (partition(place), place.username.to_string());
            let item = to_item(&PlaceItem { pk, sk, user_id: user.clone() })?;
            let put = Put::builder().table_name(table).set_item(Some(item)).build();
            builder.put(put.map_err(corrupt("build a transaction"))?)
        }
        PlaceChange::Leave(place) => {
            let key = key(&partition(place), place.username.as_str());
            let delete = Delete::builder().table_name(table).set_key(Some(key)).build();
            builder.delete(delete.map_err(corrupt("build a transaction"))?)
        }
    };
    Ok(builder.build())
}

/// The parts of a transaction by which nobody finds a user any more.
pub(crate) async fn forget_parts(
    tables: &Tables,
    user: &UserId,
) -> Result<Vec<TransactWriteItem>, PortError> {
    let account = find(tables, user).await?;
    let changes = place_changes(account.as_ref(), None);
    changes.iter().map(|change| part(tables, user, change)).collect()
}

/// Some of the users that a question leads to, by username, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Each with the position behind them; no user where one has gone meanwhile.
    pub users: Vec<(String, Option<User>)>,
    /// Whether the question leads to more behind them.
    pub more: bool,
}

capability! {
    /// Finds users.
    UserSearcher,
    Grant::table(Table::Directory, &["dynamodb:Query"]),
    Grant::table(Table::Users, &["dynamodb:BatchGetItem"]),
}

impl UserSearcher {
    /// The users that a question leads to behind a position, `users_max` of them, in two round
    /// trips. Both readings are strongly consistent, but the second comes after the first, so whether
    /// a user is an answer is decided by the user.
    pub async fn candidates(
        &self,
        question: &Question,
        position: Option<&str>,
        users_max: usize,
    ) -> Result<Candidates, PortError> {
        let (partition, prefix) = match question.lead() {
            Wanted::Prefix(prefix) => (names(prefix), prefix.as_str()),
            Wanted::Skill(skill) => (format!("skill#{skill}"), ""),
            Wanted::Category(category) => (format!("category#{category}"), ""),
        };
        let page = PageQuery {
            table: Table::Directory,
            index: None,
            partition: &partition,
            prefix,
            order: Order::Ascending,
            start: position.map(|username| key(&partition, username)),
            items_max: users_max,
        };
        let (items, more) = self.tables.page::<PlaceItem>("search the directory", page).await?;
        let ids: Vec<UserId> = items.iter().map(|item| item.user_id.clone()).collect();
        let mut found = find_all(&self.tables, &ids).await?;
        let users = items.into_iter().map(|item| {
            let place = found.iter().position(|user| user.id == item.user_id);
            (item.sk, place.map(|place| found.swap_remove(place)))
        });
        Ok(Candidates { users: users.collect(), more })
    }
}
