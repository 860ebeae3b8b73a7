//! Tables as the catalogue declares them, brought into being or up to date at each start.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::{ApiError, TableError};

/// A table. All keys are strings; billing is on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Full name, such as `rollcall-dev-users`.
    pub name: String,
    /// Attribute of the partition key.
    pub partition_key: String,
    /// Attribute of the sort key, if items have one.
    pub sort_key: Option<String>,
    /// Whether changes are streamed, with new and old images.
    pub stream: bool,
    /// Attribute that holds the time, in seconds since the epoch, after which an item is deleted.
    pub time_to_live_attribute: Option<String>,
    /// Global secondary indexes.
    pub indexes: Vec<IndexDefinition>,
}

/// A global secondary index that projects all attributes. All keys are strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Name, unique in its table.
    pub name: String,
    /// Attribute of the partition key.
    pub partition_key: String,
    /// Attribute of the sort key, if it has one.
    pub sort_key: Option<String>,
}

impl IndexDefinition {
    fn to_json(&self) -> Value {
        json!({
            "IndexName": self.name,
            "KeySchema": key_schema(&self.partition_key, self.sort_key.as_deref()),
            "Projection": { "ProjectionType": "ALL" },
        })
    }
}

impl TableDefinition {
    fn attribute_definitions(&self) -> Value {
        let indexes = self.indexes.iter();
        let attributes: BTreeSet<&String> = indexes
            .flat_map(|index| [Some(&index.partition_key), index.sort_key.as_ref()])
            .chain([Some(&self.partition_key), self.sort_key.as_ref()])
            .flatten()
            .collect();
        attributes
            .into_iter()
            .map(|name| json!({ "AttributeName": name, "AttributeType": "S" }))
            .collect()
    }

    fn key_schema(&self) -> Value {
        key_schema(&self.partition_key, self.sort_key.as_deref())
    }

    fn creation(&self) -> Value {
        let mut members = vec![
            ("TableName", json!(self.name)),
            ("BillingMode", json!("PAY_PER_REQUEST")),
            ("KeySchema", self.key_schema()),
            ("AttributeDefinitions", self.attribute_definitions()),
        ];
        if self.stream {
            members.push(("StreamSpecification", new_and_old_images()));
        }
        if !self.indexes.is_empty() {
            let indexes = self.indexes.iter().map(IndexDefinition::to_json).collect();
            members.push(("GlobalSecondaryIndexes", indexes));
        }
        members.into_iter().collect()
    }
}

fn new_and_old_images() -> Value {
    json!({ "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" })
}

fn key_schema(partition_key: &str, sort_key: Option<&str>) -> Value {
    [(Some(partition_key), "HASH"), (sort_key, "RANGE")]
        .into_iter()
        .filter_map(|(name, kind)| Some(json!({ "AttributeName": name?, "KeyType": kind })))
        .collect()
}

/// See [`crate::DynamoDb::create_table`].
pub(crate) fn ensure(engine: &Engine, definition: &TableDefinition) -> Result<(), TableError> {
    let existing = Changes { engine, definition };
    match engine.call("DescribeTable", json!({ "TableName": definition.name })) {
        Ok(described) => existing.update(&described)?,
        Err(_) => existing.run("CreateTable", definition.creation())?,
    }
    existing.set_time_to_live()
}

struct Changes<'a> {
    engine: &'a Engine,
    definition: &'a TableDefinition,
}

impl Changes<'_> {
    fn update(&self, described: &str) -> Result<(), TableError> {
        let described: Value = serde_json::from_str(described).unwrap_or_default();
        let table = described.get("Table").cloned().unwrap_or_default();
        if table.get("KeySchema") != Some(&self.definition.key_schema()) {
            return Err(self.differs("primary key"));
        }
        let existing = table.get("GlobalSecondaryIndexes").and_then(Value::as_array);
        for index in &self.definition.indexes {
            let wanted = index.to_json();
            let same_name = |other: &&Value| other.get("IndexName") == wanted.get("IndexName");
            match existing.and_then(|indexes| indexes.iter().find(same_name)) {
                Some(other) if other.get("KeySchema") == wanted.get("KeySchema") => {}
                Some(_) => return Err(self.differs(&format!("index {}", index.name))),
                None => self.change(vec![
                    ("AttributeDefinitions", self.definition.attribute_definitions()),
                    ("GlobalSecondaryIndexUpdates", json!([{ "Create": wanted }])),
                ])?,
            }
        }
        if self.definition.stream && self.engine.stream(&self.definition.name).is_none() {
            self.change(vec![("StreamSpecification", new_and_old_images())])?;
        }
        Ok(())
    }

    fn set_time_to_live(&self) -> Result<(), TableError> {
        let Some(attribute) = &self.definition.time_to_live_attribute else {
            return Ok(());
        };
        let specification = json!({ "AttributeName": attribute, "Enabled": true });
        let request = json!({
            "TableName": self.definition.name,
            "TimeToLiveSpecification": specification,
        });
        let answer =
            self.engine.call("DescribeTimeToLive", json!({ "TableName": self.definition.name }));
        let described: Value =
            answer.ok().and_then(|answer| serde_json::from_str(&answer).ok()).unwrap_or_default();
        match described.pointer("/TimeToLiveDescription/AttributeName") {
            None => self.run("UpdateTimeToLive", request),
            Some(existing) if existing == attribute => Ok(()),
            Some(_) => Err(self.differs("time to live attribute")),
        }
    }

    fn change(&self, mut members: Vec<(&str, Value)>) -> Result<(), TableError> {
        members.push(("TableName", json!(self.definition.name)));
        self.run("UpdateTable", members.into_iter().collect())
    }

    fn run(&self, operation: &str, request: Value) -> Result<(), TableError> {
        match self.engine.call(operation, request) {
            Ok(_) => Ok(()),
            Err(ApiError { body, .. }) => {
                Err(TableError::Refused { table: self.definition.name.clone(), message: body })
            }
        }
    }

    fn differs(&self, what: &str) -> TableError {
        TableError::Differs { table: self.definition.name.clone(), what: what.to_owned() }
    }
}
