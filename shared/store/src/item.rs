//! The few shapes that all access patterns share: get, query to the end, put on a condition.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::Timestamp;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY};
use rollcall_resources::{Index, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{corrupt, failed};
use crate::tables::Tables;

/// Items of one page of a query; a bound on what one answer holds in memory.
const QUERY_PAGE_ITEMS_MAX: i32 = 500;

/// Keys of one batch (DynamoDB's own limit).
const BATCH_KEYS_MAX: usize = 100;
/// Batches in which keys are read.
const BATCH_TRIES_MAX: u32 = 10;

/// An item as DynamoDB has it.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// An instant as a text whose order is the order of time.
pub(crate) fn sortable(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The key of an item.
pub(crate) fn key(pk: &str, sk: &str) -> Attributes {
    HashMap::from([(PARTITION_KEY.to_owned(), text(pk)), (SORT_KEY.to_owned(), text(sk))])
}

/// An item to store.
pub(crate) fn to_item<T: Serialize>(item: &T) -> Result<Attributes, PortError> {
    serde_dynamo::to_item(item).map_err(corrupt("encode an item"))
}

/// An item that was stored.
pub(crate) fn from_item<T: DeserializeOwned>(item: Attributes) -> Result<T, PortError> {
    serde_dynamo::from_item(item).map_err(corrupt("decode an item"))
}

/// A part of an item to store.
pub(crate) fn to_value<T: Serialize>(value: &T) -> Result<AttributeValue, PortError> {
    serde_dynamo::to_attribute_value(value).map_err(corrupt("encode an item"))
}

/// A part of an item that was stored.
pub(crate) fn from_value<T: DeserializeOwned>(value: AttributeValue) -> Result<T, PortError> {
    serde_dynamo::from_attribute_value(value).map_err(corrupt("decode an item"))
}

/// The order of sort keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The smallest first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// A page of the items of one partition.
#[derive(Debug)]
pub(crate) struct PageQuery<'query> {
    /// The table.
    pub(crate) table: Table,
    /// The index whose partition it is; the table's own without one.
    pub(crate) index: Option<Index>,
    /// The partition.
    pub(crate) partition: &'query str,
    /// What the sort keys begin with; of a table's own partition only.
    pub(crate) prefix: &'query str,
    /// The order.
    pub(crate) order: Order,
    /// The key behind which the page begins; the whole key of the index as well, where there is one.
    pub(crate) start: Option<Attributes>,
    /// Items on the page at most.
    pub(crate) items_max: usize,
}

impl Tables {
    /// The page's items, and whether there are more behind them. Consistent where no index is asked.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        page: PageQuery<'_>,
    ) -> Result<(Vec<T>, bool), PortError> {
        let partition_key = page.index.map_or(PARTITION_KEY, |index| index.partition_key);
        let mut values = Attributes::from([(":partition".to_owned(), text(page.partition))]);
        let condition = if page.prefix.is_empty() {
            "#partition = :partition"
        } else {
            values.insert(":prefix".to_owned(), text(page.prefix));
            "#partition = :partition AND begins_with(sk, :prefix)"
        };
        let answer = self
            .client
            .query()
            .table_name(self.name(page.table))
            .set_index_name(page.index.map(|index| index.name.to_owned()))
            .key_condition_expression(condition)
            .expression_attribute_names("#partition", partition_key)
            .set_expression_attribute_values(Some(values))
            .consistent_read(page.index.is_none())
            .scan_index_forward(page.order == Order::Ascending)
            // One more than is shown tells whether there is another page.
            .limit(i32::try_from(page.items_max + 1).unwrap_or(i32::MAX))
            .set_exclusive_start_key(page.start)
            .send()
            .await
            .map_err(failed(operation))?;
        let items = answer.items.unwrap_or_default();
        let more = items.len() > page.items_max || answer.last_evaluated_key.is_some();
        let items = items.into_iter().take(page.items_max).map(from_item);
        Ok((items.collect::<Result<_, _>>()?, more))
    }

    /// One item, strongly consistent.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        table: Table,
        pk: &str,
        sk: &str,
    ) -> Result<Option<T>, PortError> {
        let answer = self
            .client
            .get_item()
            .table_name(self.name(table))
            .set_key(Some(key(pk, sk)))
            .consistent_read(true)
            .send()
            .await
            .map_err(failed("read an item"))?;
        answer.item.map(from_item).transpose()
    }

    /// The items of these keys, strongly consistent, in any order; what is not there is left out.
    pub(crate) async fn get_all<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        table: Table,
        keys: Vec<Attributes>,
    ) -> Result<Vec<T>, PortError> {
        let name = self.name(table);
        let (mut items, mut rest) = (Vec::with_capacity(keys.len()), keys);
        for _try in 0..BATCH_TRIES_MAX {
            // What DynamoDB leaves over comes first in the next batch.
            let later = rest.split_off(rest.len().min(BATCH_KEYS_MAX));
            if rest.is_empty() {
                return Ok(items);
            }
            let batch = KeysAndAttributes::builder().set_keys(Some(rest)).consistent_read(true);
            let batch = batch.build().map_err(corrupt("build a batch"))?;
            let answer = self.client.batch_get_item().request_items(&name, batch).send().await;
            let answer = answer.map_err(failed(operation))?;
            let found = answer.responses.and_then(|mut tables| tables.remove(&name));
            for item in found.unwrap_or_default() {
                items.push(from_item(item)?);
            }
            let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&name));
            rest = left.map(|left| left.keys).unwrap_or_default();
            rest.extend(later);
        }
        let text = "DynamoDB left items unread";
        if rest.is_empty() {
            return Ok(items);
        }
        Err(PortError::new(operation, PortErrorClass::Throttled, text))
    }

    /// Every item of a partition whose sort key begins with `prefix`, in order, strongly
    /// consistent. More than `items_max` is an error, never a silent cut.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        table: Table,
        pk: &str,
        prefix: &str,
        items_max: usize,
    ) -> Result<Vec<T>, PortError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(self.name(table))
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", text(pk))
                .expression_attribute_values(":prefix", text(prefix))
                .consistent_read(true)
                .limit(QUERY_PAGE_ITEMS_MAX)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed("query items"))?;
            for item in page.items.unwrap_or_default() {
                items.push(from_item(item)?);
            }
            if items.len() > items_max {
                let text = format!("more than {items_max} items in one partition");
                return Err(PortError::new("query items", PortErrorClass::Corrupt, text));
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Stores an item if it is new (version 1) or if the stored one is the version before.
    pub(crate) async fn put_version<T: Serialize>(
        &self,
        table: Table,
        item: &T,
        version: u64,
    ) -> Result<(), PortError> {
        let put = self.client.put_item().table_name(self.name(table));
        let put = put.set_item(Some(to_item(item)?));
        let put = if version == 1 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :before")
                .expression_attribute_values(":before", number(version - 1))
        };
        put.send().await.map_err(failed("store an item"))?;
        Ok(())
    }

    /// As [`Tables::put_version`], as a part of a transaction.
    pub(crate) fn put_version_part<T: Serialize>(
        &self,
        table: Table,
        item: &T,
        version: u64,
    ) -> Result<TransactWriteItem, PortError> {
        let put = Put::builder().table_name(self.name(table)).set_item(Some(to_item(item)?));
        let put = if version == 1 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :before")
                .expression_attribute_values(":before", number(version - 1))
        };
        let put = put.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Stores an item whatever is there, as a part of a transaction.
    pub(crate) fn put_part<T: Serialize>(
        &self,
        table: Table,
        item: &T,
    ) -> Result<TransactWriteItem, PortError> {
        let put = Put::builder().table_name(self.name(table)).set_item(Some(to_item(item)?));
        let put = put.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all parts or none.
    pub(crate) async fn transact(
        &self,
        operation: &'static str,
        parts: Vec<TransactWriteItem>,
    ) -> Result<(), PortError> {
        let write = self.client.transact_write_items().set_transact_items(Some(parts));
        write.send().await.map_err(failed(operation))?;
        Ok(())
    }
}
