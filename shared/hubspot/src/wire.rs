//! HubSpot's JSON, as far as we use it. Every field of an answer is optional to HubSpot.

use std::collections::BTreeMap;

use rollcall_crm::classifier::{Failure, ITEM};
use rollcall_crm::port::{Address, Input, ItemResult};
use rollcall_crm::projection::Properties;
use rollcall_crm::schema::{Origin, Property, PropertyKind, Schema};
use serde::{Deserialize, Serialize};

/// Characters of a message that are looked at.
const MESSAGE_CHARACTERS_MAX: usize = 4_000;

/// Body of `batch/upsert` and `batch/update`.
#[derive(Serialize)]
pub(crate) struct BatchWrite<'a> {
    pub(crate) inputs: Vec<WriteInput<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriteInput<'a> {
    pub(crate) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_property: Option<&'static str>,
    pub(crate) properties: &'a Properties,
    pub(crate) object_write_trace_id: &'a str,
}

/// Body of `batch/read`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchRead<'a> {
    pub(crate) inputs: Vec<ReadInput<'a>>,
    pub(crate) properties: [&'static str; 1],
    pub(crate) properties_with_history: [&'static str; 0],
}

#[derive(Serialize)]
pub(crate) struct ReadInput<'a> {
    pub(crate) id: &'a str,
}

/// Answer of every batch call.
#[derive(Deserialize)]
pub(crate) struct BatchAnswer {
    #[serde(default)]
    pub(crate) results: Vec<Record>,
    #[serde(default)]
    pub(crate) errors: Vec<ErrorBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    // The answers about properties and groups have none.
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object_write_trace_id: Option<String>,
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Option<String>>,
}

/// An error: of a call, or of one input.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorBody {
    #[serde(default)]
    pub(crate) category: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    policy_name: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, serde_json::Value>,
}

impl ErrorBody {
    pub(crate) fn into_failure(self) -> Failure {
        let message = self.message.unwrap_or_default();
        Failure {
            status: ITEM,
            category: self.category.unwrap_or_default(),
            message: message.chars().take(MESSAGE_CHARACTERS_MAX).collect(),
            policy: self.policy_name.unwrap_or_default(),
            retry_after: None,
        }
    }

    /// The trace ids of the inputs it is about. HubSpot names missing records by id instead.
    fn trace_ids(&self, inputs: &[Input]) -> Vec<String> {
        let texts = |name: &str| {
            let texts = self.context.get(name).and_then(serde_json::Value::as_array);
            texts
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_str)
        };
        let mut trace_ids: Vec<String> = texts("objectWriteTraceId").map(str::to_owned).collect();
        if trace_ids.is_empty() {
            let missing = |input: &&Input| match &input.address {
                Address::ContactId(contact) => texts("ids").any(|id| id == contact),
                Address::UserId(_) | Address::Email(_) => false,
            };
            trace_ids.extend(
                inputs
                    .iter()
                    .filter(missing)
                    .map(|input| input.user.to_string()),
            );
        }
        trace_ids
    }
}

impl BatchAnswer {
    /// What became of each input, by trace id; order and ids say nothing about which is which.
    pub(crate) fn into_results(self, inputs: &[Input]) -> BTreeMap<String, ItemResult> {
        let written = self.results.into_iter().filter_map(|record| {
            let trace_id = record.object_write_trace_id?;
            let contact_id = record.id;
            (!contact_id.is_empty()).then_some((trace_id, ItemResult::Written { contact_id }))
        });
        let mut results: BTreeMap<String, ItemResult> = written.collect();
        for error in self.errors {
            let trace_ids = error.trace_ids(inputs);
            let failure = error.into_failure();
            for trace_id in trace_ids {
                results.insert(trace_id, ItemResult::Failed(failure.clone()));
            }
        }
        results
    }
}

/// Body of `properties/…/groups`.
#[derive(Serialize)]
pub(crate) struct GroupCreate {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
}

/// Body of `properties/…/batch/create`.
#[derive(Serialize)]
pub(crate) struct PropertiesCreate {
    inputs: Vec<PropertyCreate>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PropertyCreate {
    group_name: &'static str,
    name: &'static str,
    label: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    field_type: &'static str,
    has_unique_value: bool,
    form_field: bool,
}

impl PropertiesCreate {
    /// Our properties. `unique_keys`: the portal takes unique properties on contacts.
    pub(crate) fn new(schema: &Schema, unique_keys: bool) -> Self {
        let ours = schema
            .properties
            .iter()
            .filter(|property| property.origin == Origin::Ours);
        let input = |property: &Property| {
            let (kind, field_type) = match property.kind {
                PropertyKind::Text => ("string", "text"),
                PropertyKind::LongText => ("string", "textarea"),
                PropertyKind::Number => ("number", "number"),
                PropertyKind::Date => ("date", "date"),
                PropertyKind::DateTime => ("datetime", "date"),
            };
            PropertyCreate {
                group_name: schema.group,
                name: property.name,
                label: property.label,
                kind,
                field_type,
                has_unique_value: property.unique && unique_keys,
                form_field: false,
            }
        };
        Self {
            inputs: ours.map(input).collect(),
        }
    }
}
