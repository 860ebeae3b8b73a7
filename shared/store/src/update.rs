//! Updates of single items, alone or several as one: built piece by piece, applied on a condition.
//!
//! A condition that does not hold is an answer and not an error. Two writers of one item at the same
//! moment are neither: that is tried again here.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ReturnValue, TransactWriteItem, Update,
};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_resources::Table;
use std::collections::HashMap;

use crate::error::{corrupt, failed};
use crate::item::{Attributes, key};
use crate::tables::Tables;

/// How often a write is sent while transactions of others hold one of its items.
const CONFLICT_TRIES_MAX: u32 = 5;

/// A change of some attributes of one item, which is made if there is none.
#[derive(Clone, Debug)]
pub(crate) struct ItemUpdate {
    key: Attributes,
    set: Vec<String>,
    remove: Vec<String>,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: Attributes,
}

/// What became of updates that are applied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// All are.
    All,
    /// None is, since the condition of the update at this place does not hold.
    Refused(usize),
}

impl ItemUpdate {
    /// An update that changes nothing yet.
    pub(crate) fn of(pk: &str, sk: &str) -> Self {
        Self {
            key: key(pk, sk),
            set: Vec::new(),
            remove: Vec::new(),
            condition: None,
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }

    /// Sets an attribute; conditions may use `#name` and `:name` as well.
    pub(crate) fn set(self, name: &str, value: AttributeValue) -> Self {
        self.set_to(name, format!(":{name}")).value(name, value)
    }

    /// Sets an attribute that is not there yet.
    pub(crate) fn set_once(self, name: &str, value: AttributeValue) -> Self {
        self.set_to(name, format!("if_not_exists(#{name}, :{name})")).value(name, value)
    }

    /// Sets an attribute to an expression.
    pub(crate) fn set_to(mut self, name: &str, expression: impl AsRef<str>) -> Self {
        self.set.push(format!("#{name} = {}", expression.as_ref()));
        self.name(name)
    }

    /// Removes an attribute.
    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.remove.push(format!("#{name}"));
        self.name(name)
    }

    /// Removes an entry of a map; it is known to conditions as `#{name}.#entry`.
    pub(crate) fn remove_entry(mut self, name: &str, entry: &str) -> Self {
        self.remove.push(format!("#{name}.#entry"));
        self.names.insert("#entry".to_owned(), entry.to_owned());
        self.name(name)
    }

    /// Sets an attribute, or removes it when there is no value.
    pub(crate) fn put(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Applies the update only where `condition` holds.
    pub(crate) fn only_if(mut self, condition: &str) -> Self {
        self.condition = Some(condition.to_owned());
        self
    }

    /// Makes an attribute known to the expressions as `#name`.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// Makes a value known to the expressions as `:name`.
    pub(crate) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    fn expression(&self) -> String {
        let part = |word: &str, list: &[String]| {
            (!list.is_empty()).then(|| format!("{word} {}", list.join(", ")))
        };
        let parts = [part("SET", &self.set), part("REMOVE", &self.remove)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn into_part(self, table: String) -> Result<TransactWriteItem, PortError> {
        let update = Update::builder()
            .table_name(table)
            .update_expression(self.expression())
            .set_key(Some(self.key))
            .set_condition_expression(self.condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
            .build()
            .map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

impl Tables {
    /// Applies an update and answers the attributes as they were; `None` when its condition does
    /// not hold.
    pub(crate) async fn apply(
        &self,
        operation: &'static str,
        table: Table,
        update: ItemUpdate,
    ) -> Result<Option<Attributes>, PortError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ItemUpdate { key, condition, names, values, .. } = update.clone();
            let sent = self
                .client
                .update_item()
                .table_name(self.name(table))
                .update_expression(update.expression())
                .set_key(Some(key))
                .set_condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
                .return_values(ReturnValue::AllOld)
                .send()
                .await;
            let error = match sent {
                Ok(output) => return Ok(Some(output.attributes.unwrap_or_default())),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => return Ok(None),
                Some(UpdateItemError::TransactionConflictException(_)) => {
                    if tries == CONFLICT_TRIES_MAX {
                        return Err(contended(operation, error));
                    }
                }
                _ => return Err(failed(operation)(error)),
            }
        }
    }

    /// Applies all updates of a table's items or none.
    pub(crate) async fn apply_all(
        &self,
        operation: &'static str,
        table: Table,
        updates: Vec<ItemUpdate>,
    ) -> Result<Applied, PortError> {
        let parts: Vec<TransactWriteItem> = updates
            .into_iter()
            .map(|update| update.into_part(self.name(table)))
            .collect::<Result<_, _>>()?;
        self.commit(operation, parts).await
    }

    /// Writes all parts or none; conditions that do not hold are an answer.
    pub(crate) async fn commit(
        &self,
        operation: &'static str,
        parts: Vec<TransactWriteItem>,
    ) -> Result<Applied, PortError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let write = self.client.transact_write_items();
            let sent = write.set_transact_items(Some(parts.clone())).send().await;
            let Err(error) = sent else {
                return Ok(Applied::All);
            };
            match cancellation(&error) {
                None => return Err(failed(operation)(error)),
                Some(Cancellation::Refused(part)) => return Ok(Applied::Refused(part)),
                Some(Cancellation::Contended) => {
                    if tries == CONFLICT_TRIES_MAX {
                        return Err(contended(operation, error));
                    }
                }
                Some(Cancellation::Throttled) => return Err(contended(operation, error)),
            }
        }
    }
}

enum Cancellation {
    Refused(usize),
    Contended,
    Throttled,
}

/// Why a transaction was cancelled, from the first of its reasons that says so; `None` when it was
/// not cancelled, or for something that a repetition will not mend.
fn cancellation<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Cancellation> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return None;
    };
    let code = |reason: &CancellationReason| reason.code().unwrap_or_default().to_owned();
    let codes: Vec<String> = cancelled.cancellation_reasons().iter().map(code).collect();
    let has = |wanted: &str| codes.iter().position(|code| code == wanted);
    if let Some(part) = has("ConditionalCheckFailed") {
        return Some(Cancellation::Refused(part));
    }
    if has("TransactionConflict").is_some() {
        return Some(Cancellation::Contended);
    }
    has("ThrottlingError").or(has("ProvisionedThroughputExceeded")).map(|_| Cancellation::Throttled)
}

fn contended(
    operation: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> PortError {
    PortError::new(operation, PortErrorClass::Throttled, error)
}
