//! The records of one object type, with the indices that make every lookup direct, and a journal
//! that can take back what a request did.
//!
//! Records are shared and copied when written, so the search index, which lags behind, and a
//! snapshot in the making cost no second copy.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::properties::Schema;
use crate::standard::ObjectType;
use crate::wire::instant;

/// Versions of one property that are kept.
const VERSIONS_MAX: usize = 20;
/// Records that one record may have absorbed; a merge beyond is refused.
pub(crate) const IDENTITIES_MAX: usize = 250;

/// Who wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Source {
    /// An app, through the API.
    Integration,
    /// A person, in HubSpot's pages.
    CrmUi,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) value: String,
    pub(crate) at: Timestamp,
    pub(crate) source: Source,
}

/// One property of one record: the present version last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Values {
    pub(crate) versions: Vec<Version>,
}

/// A contact, company and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) values: BTreeMap<String, Values>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) archived_at: Option<Timestamp>,
    /// Ids of absorbed records, with when.
    pub(crate) merged: Vec<(u64, Timestamp)>,
}

impl Record {
    pub(crate) fn new(id: u64, now: Timestamp) -> Self {
        Self {
            id,
            values: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            archived_at: None,
            merged: Vec::new(),
        }
    }

    /// The stored value of `name`; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.values
            .get(name)
            .and_then(|values| values.versions.last())
            .map_or("", |version| version.value.as_str())
    }

    /// Stores a value that has its final form; the same value again makes no new version.
    pub(crate) fn set(&mut self, name: &str, value: String, at: Timestamp, source: Source) {
        if self.get(name) == value {
            return;
        }
        if let Some(values) = self.values.get_mut(name) {
            if values.versions.len() == VERSIONS_MAX {
                values.versions.remove(0);
            }
            values.versions.push(Version { value, at, source });
        } else {
            let versions = vec![Version { value, at, source }];
            self.values.insert(name.to_owned(), Values { versions });
        }
    }

    /// The value of any property, computed ones included; `None` when it has none.
    pub(crate) fn value(&self, kind: &ObjectType, name: &str) -> Option<String> {
        if name == kind.created {
            return Some(instant(self.created_at));
        }
        if name == kind.modified {
            return Some(instant(self.updated_at));
        }
        let value = match name {
            "hs_object_id" => self.id.to_string(),
            "hs_merged_object_ids" => join(&self.merged, |(id, _)| id.to_string()),
            "hs_calculated_merged_vids" => {
                join(&self.merged, |(id, at)| format!("{id}:{}", at.as_millisecond()))
            }
            name => self.get(name).to_owned(),
        };
        (!value.is_empty()).then_some(value)
    }

    /// Every address that leads to this contact, the primary one first.
    pub(crate) fn emails(&self) -> impl Iterator<Item = &str> {
        let additional = self.get("hs_additional_emails").split(';');
        std::iter::once(self.get("email")).chain(additional).filter(|email| !email.is_empty())
    }

    /// HubSpot's JSON of this record with `names`; a property without value is null.
    pub(crate) fn json<'a>(
        &self,
        kind: &ObjectType,
        schema: &Schema,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Map<String, Value> {
        let id = self.id.to_string();
        let created = instant(self.created_at);
        let modified = instant(self.updated_at);
        let mut properties = Map::new();
        for name in names {
            if schema.property(name).is_some() {
                let value = self.value(kind, name).map(Value::String);
                properties.insert(name.to_owned(), value.unwrap_or_default());
            }
        }
        for (name, value) in
            [(kind.created, &created), (kind.modified, &modified), ("hs_object_id", &id)]
        {
            properties.insert(name.to_owned(), Value::String(value.clone()));
        }
        let mut object = Map::new();
        object.insert("id".to_owned(), Value::String(id));
        object.insert("properties".to_owned(), Value::Object(properties));
        object.insert("createdAt".to_owned(), Value::String(created));
        object.insert("updatedAt".to_owned(), Value::String(modified));
        object.insert("archived".to_owned(), json!(self.archived_at.is_some()));
        if let Some(archived_at) = self.archived_at {
            object.insert("archivedAt".to_owned(), json!(instant(archived_at)));
        }
        object
    }

    /// Versions of `names`, newest first, as `propertiesWithHistory`.
    pub(crate) fn history(&self, names: &[String]) -> Value {
        let mut histories = Map::new();
        for name in names {
            let versions = self.values.get(name).map_or(&[][..], |v| v.versions.as_slice());
            let versions = versions.iter().rev().map(|version| {
                json!({
                    "value": version.value,
                    "timestamp": instant(version.at),
                    "sourceType": version.source,
                })
            });
            histories.insert(name.clone(), versions.collect());
        }
        Value::Object(histories)
    }
}

fn join<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(";")
}

/// The values by which `record` is found in a unique property: for e-mail, every address.
fn identifying<'a>(record: &'a Record, property: &str) -> impl Iterator<Item = &'a str> {
    let addresses = property == "email";
    let emails = addresses.then(|| record.emails()).into_iter().flatten();
    let value = (!addresses).then(|| record.get(property)).filter(|value| !value.is_empty());
    emails.chain(value)
}

/// A record as it was and as it is.
pub(crate) type Change = (Option<Arc<Record>>, Option<Arc<Record>>);

#[derive(Clone, Debug)]
enum Undo {
    Record(u64, Option<Arc<Record>>),
    Alias(u64),
}

/// All records of one type.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) kind: &'static ObjectType,
    records: BTreeMap<u64, Arc<Record>>,
    /// Property, value, holder; archived records hold nothing.
    unique: BTreeMap<String, HashMap<String, u64>>,
    /// Old ids of merged records.
    aliases: BTreeMap<u64, u64>,
    journal: Vec<Undo>,
    /// Changes that the search index has not seen yet.
    unseen: VecDeque<(i64, u64, Option<Arc<Record>>)>,
    indexed: BTreeMap<u64, Arc<Record>>,
}

/// What a snapshot keeps of a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedTable {
    #[serde(with = "shared")]
    records: Vec<Arc<Record>>,
    aliases: BTreeMap<u64, u64>,
}

mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Record;

    pub(super) fn serialize<S: Serializer>(
        records: &[Arc<Record>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(records.iter().map(AsRef::as_ref))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<Record>>, D::Error> {
        let records: Vec<Record> = Deserialize::deserialize(deserializer)?;
        Ok(records.into_iter().map(Arc::new).collect())
    }
}

impl Table {
    pub(crate) fn new(kind: &'static ObjectType, schema: &Schema, saved: SavedTable) -> Self {
        let mut table = Self {
            kind,
            records: BTreeMap::new(),
            unique: BTreeMap::new(),
            aliases: saved.aliases,
            journal: Vec::new(),
            unseen: VecDeque::new(),
            indexed: BTreeMap::new(),
        };
        if kind.is_contact() {
            table.add_unique("email");
        }
        for name in schema.unique_names() {
            table.add_unique(name);
        }
        for record in saved.records {
            table.put_unrecorded(Arc::clone(&record));
            table.indexed.insert(record.id, record);
        }
        table
    }

    pub(crate) fn saved(&self) -> SavedTable {
        SavedTable {
            records: self.records.values().map(Arc::clone).collect(),
            aliases: self.aliases.clone(),
        }
    }

    /// From now on no two records share a value of `property`, which is new.
    pub(crate) fn add_unique(&mut self, property: &str) {
        self.unique.entry(property.to_owned()).or_default();
    }

    /// Whether records can be looked up by `property`.
    pub(crate) fn is_unique(&self, property: &str) -> bool {
        self.unique.contains_key(property)
    }

    /// Drops the values of a property that was archived.
    pub(crate) fn forget_property(&mut self, property: &str) {
        self.unique.remove(property);
        for record in self.records.values_mut() {
            if record.values.contains_key(property) {
                Arc::make_mut(record).values.remove(property);
            }
        }
    }

    /// The record with this id, or the one that absorbed it; archived ones included.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Record>> {
        let mut id: u64 = id.parse().ok()?;
        // Each merge adds one step, and merges are bounded.
        for _ in 0..=IDENTITIES_MAX {
            match self.aliases.get(&id) {
                Some(survivor) => id = *survivor,
                None => break,
            }
        }
        self.records.get(&id)
    }

    /// The living record with this id, or with this value of `property` when one is named.
    pub(crate) fn find(&self, property: Option<&str>, id: &str) -> Option<&Arc<Record>> {
        let record = match property {
            None => self.by_id(id)?,
            Some(property) => self.records.get(&self.holder(property, id)?)?,
        };
        record.archived_at.is_none().then_some(record)
    }

    /// Id of the living record that has `value` in a unique property.
    pub(crate) fn holder(&self, property: &str, value: &str) -> Option<u64> {
        self.unique.get(property)?.get(value).copied()
    }

    /// The first unique value of `record` that another record holds: property, value, holder.
    pub(crate) fn conflict<'a>(&'a self, record: &'a Record) -> Option<(&'a str, &'a str, u64)> {
        self.unique.iter().find_map(|(property, holders)| {
            let mut values = identifying(record, property);
            values.find_map(|value| {
                let holder = *holders.get(value)?;
                (holder != record.id).then_some((property.as_str(), value, holder))
            })
        })
    }

    /// Stores a record.
    pub(crate) fn put(&mut self, record: Record, now: Timestamp) -> Arc<Record> {
        let record = Arc::new(record);
        let old = self.put_unrecorded(Arc::clone(&record));
        self.journal.push(Undo::Record(record.id, old));
        self.changed(record.id, now);
        record
    }

    /// Removes a record for good.
    pub(crate) fn erase(&mut self, id: u64, now: Timestamp) {
        let old = self.take(id);
        self.journal.push(Undo::Record(id, old));
        self.changed(id, now);
    }

    /// Makes `old_id` lead to `survivor`.
    pub(crate) fn alias(&mut self, old_id: u64, survivor: u64) {
        self.aliases.insert(old_id, survivor);
        self.journal.push(Undo::Alias(old_id));
    }

    fn put_unrecorded(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        let old = self.take(record.id);
        if record.archived_at.is_none() {
            for (property, holders) in &mut self.unique {
                for value in identifying(&record, property) {
                    holders.insert(value.to_owned(), record.id);
                }
            }
        }
        self.records.insert(record.id, record);
        old
    }

    fn take(&mut self, id: u64) -> Option<Arc<Record>> {
        let old = self.records.remove(&id)?;
        for (property, holders) in &mut self.unique {
            for value in identifying(&old, property) {
                if holders.get(value) == Some(&id) {
                    holders.remove(value);
                }
            }
        }
        Some(old)
    }

    /// The search index learns at `now` plus its lag what the record is now.
    fn changed(&mut self, id: u64, now: Timestamp) {
        let state = self.records.get(&id).map(Arc::clone);
        self.unseen.push_back((now.as_millisecond(), id, state));
    }

    /// Begins a request: what it does from here on can be taken back.
    pub(crate) fn begin(&mut self) {
        self.journal.clear();
    }

    /// Every record that was changed since [`Table::begin`], as it was before and as it is.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let mut first: BTreeMap<u64, Option<Arc<Record>>> = BTreeMap::new();
        for undo in std::mem::take(&mut self.journal) {
            if let Undo::Record(id, old) = undo {
                first.entry(id).or_insert(old);
            }
        }
        let now = |id: u64| self.records.get(&id).map(Arc::clone);
        first.into_iter().map(|(id, old)| (old, now(id))).collect()
    }

    /// Takes back everything since [`Table::begin`].
    pub(crate) fn roll_back(&mut self, now: Timestamp) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Alias(old_id) => {
                    self.aliases.remove(&old_id);
                }
                Undo::Record(id, old) => {
                    self.take(id);
                    if let Some(old) = old {
                        self.put_unrecorded(old);
                    }
                    self.changed(id, now);
                }
            }
        }
    }

    /// What the search index holds at `now` with this lag.
    pub(crate) fn indexed(&mut self, now: Timestamp, lag_ms: u64) -> &BTreeMap<u64, Arc<Record>> {
        let seen_until = now.as_millisecond() - i64::try_from(lag_ms).unwrap_or(i64::MAX);
        while self.unseen.front().is_some_and(|(at, ..)| *at <= seen_until) {
            match self.unseen.pop_front() {
                Some((_, id, Some(record))) => self.indexed.insert(id, record),
                Some((_, id, None)) => self.indexed.remove(&id),
                None => None,
            };
        }
        &self.indexed
    }

    /// Records after `after` in the order of their ids.
    pub(crate) fn page(&self, after: u64, archived: bool) -> impl Iterator<Item = &Arc<Record>> {
        self.records
            .range(after.saturating_add(1)..)
            .map(|(_, record)| record)
            .filter(move |record| record.archived_at.is_some() == archived)
    }

    /// Every record, archived ones included.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.values()
    }
}
