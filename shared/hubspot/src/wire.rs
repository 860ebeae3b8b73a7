//! HubSpot's JSON: what we send, exactly, and what we read, forgivingly. HubSpot's error handling
//! asks to treat every field of an error as optional
//! (<https://developers.hubspot.com/docs/api/error-handling>); a field of an unexpected type is one
//! that is missing, so that it never costs the rest of an answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rollcall_crm::milestone::Milestone;
use rollcall_crm::port::{Address, Input, KeyKind};
use rollcall_crm::schema::{self, EventDefinition, Origin, Property, PropertyKind, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Body of a batch call.
#[derive(Debug, Serialize)]
pub(crate) struct Inputs<T> {
    inputs: Vec<T>,
}

/// One contact of `batch/upsert` or `batch/update`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactInput<'a> {
    id: Cow<'a, str>,
    /// Absent: `id` is HubSpot's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_property: Option<&'static str>,
    properties: BTreeMap<&'static str, Cow<'a, str>>,
    object_write_trace_id: &'a str,
}

/// Body of `batch/read`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactRead<'a> {
    inputs: Vec<ContactId<'a>>,
    /// Absent: the ids are HubSpot's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_property: Option<&'static str>,
    properties: Vec<&'static str>,
    properties_with_history: [&'static str; 0],
}

#[derive(Debug, Serialize)]
pub(crate) struct ContactId<'a> {
    id: Cow<'a, str>,
}

/// Body of `gdpr-delete`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactErase<'a> {
    object_id: &'a str,
}

/// Body of a group's creation.
#[derive(Debug, Serialize)]
pub(crate) struct GroupCreate {
    name: &'static str,
    label: &'static str,
}

/// One property of `batch/create`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PropertyCreate {
    group_name: &'static str,
    name: &'static str,
    label: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    field_type: &'static str,
    has_unique_value: bool,
}

/// Body of an event's definition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventCreate {
    name: &'static str,
    label: &'static str,
    description: &'static str,
    primary_object: &'static str,
    include_default_properties: bool,
    property_definitions: Vec<EventPropertyCreate>,
}

/// A property of a custom event.
#[derive(Debug, Serialize)]
pub(crate) struct EventPropertyCreate {
    name: &'static str,
    label: &'static str,
    r#type: &'static str,
}

/// One event of `send/batch`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventInput<'a> {
    event_name: String,
    object_id: &'a str,
    occurred_at: String,
    uuid: &'a str,
    properties: Map<String, Value>,
}

impl EventCreate {
    pub(crate) fn new(event: &EventDefinition) -> Self {
        Self {
            name: event.name,
            label: event.label,
            description: event.description,
            primary_object: "CONTACT",
            include_default_properties: false,
            property_definitions: event.subject.into_iter().map(subject).collect(),
        }
    }
}

fn subject(label: &'static str) -> EventPropertyCreate {
    EventPropertyCreate { name: schema::EVENT_SUBJECT, label, r#type: "string" }
}

impl<'a> Inputs<EventInput<'a>> {
    /// HubSpot rejects a `uuid` that it was told before.
    pub(crate) fn events(namespace: &str, told: &'a [(Milestone, String)]) -> Self {
        let event = |(milestone, contact): &'a (Milestone, String)| EventInput {
            event_name: format!("{namespace}{}", milestone.kind.event()),
            object_id: contact,
            occurred_at: milestone.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            uuid: &milestone.id,
            properties: about(milestone),
        };
        Self { inputs: told.iter().map(event).collect() }
    }
}

fn about(milestone: &Milestone) -> Map<String, Value> {
    let named = (!milestone.subject.is_empty())
        .then(|| (schema::EVENT_SUBJECT.to_owned(), Value::String(milestone.subject.clone())));
    named.into_iter().collect()
}

impl<'a> Inputs<ContactInput<'a>> {
    /// HubSpot stores addresses in lower case and compares ids in that form.
    pub(crate) fn contacts(inputs: &'a [Input]) -> Self {
        let contact = |input: &'a Input| {
            let (id, id_property) = found_by(&input.address);
            let properties = input.properties.iter().map(|(name, value)| match *name {
                schema::EMAIL => (*name, lower_case(value)),
                name => (name, Cow::Borrowed(value.as_str())),
            });
            ContactInput {
                id,
                id_property,
                properties: properties.collect(),
                object_write_trace_id: input.user.as_str(),
            }
        };
        Self { inputs: inputs.iter().map(contact).collect() }
    }
}

/// An id, and the property that holds it; none if it is HubSpot's own.
fn found_by(address: &Address) -> (Cow<'_, str>, Option<&'static str>) {
    match address {
        Address::UserId(user) => (Cow::Borrowed(user.as_str()), Some(schema::USER_ID)),
        Address::Email(email) => (lower_case(email), Some(schema::EMAIL)),
        Address::ContactId(contact) => (Cow::Borrowed(contact.as_str()), None),
    }
}

fn lower_case(email: &str) -> Cow<'_, str> {
    Cow::Owned(email.to_lowercase())
}

impl<'a> ContactRead<'a> {
    /// Of contacts at addresses of one kind.
    pub(crate) fn owners(addresses: &'a [Address]) -> Self {
        Self {
            inputs: addresses.iter().map(|a| ContactId { id: found_by(a).0 }).collect(),
            id_property: addresses.first().and_then(|address| found_by(address).1),
            properties: vec![schema::USER_ID],
            properties_with_history: [],
        }
    }

    /// As [`ContactRead::owners`], with all of `properties`.
    pub(crate) fn whole(addresses: &'a [Address], properties: Vec<&'static str>) -> Self {
        Self { properties, ..Self::owners(addresses) }
    }

    pub(crate) fn by_email(email: &'a str) -> Self {
        Self {
            inputs: vec![ContactId { id: lower_case(email) }],
            id_property: Some(schema::EMAIL),
            properties: vec![schema::EMAIL],
            properties_with_history: [],
        }
    }
}

impl<'a> ContactErase<'a> {
    pub(crate) fn new(contact_id: &'a str) -> Self {
        Self { object_id: contact_id }
    }
}

/// One contact of `batch/update` that loses values.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContactCleared<'a> {
    id: &'a str,
    properties: &'a BTreeMap<&'a str, &'a str>,
    object_write_trace_id: &'a str,
}

impl<'a> Inputs<ContactCleared<'a>> {
    /// Contacts by HubSpot's ids, which serve as trace ids as well: they are distinct.
    pub(crate) fn cleared(
        contacts: &'a [String],
        properties: &'a BTreeMap<&'a str, &'a str>,
    ) -> Self {
        let cleared = |id: &'a String| ContactCleared { id, properties, object_write_trace_id: id };
        Self { inputs: contacts.iter().map(cleared).collect() }
    }
}

impl<'a> Inputs<ContactId<'a>> {
    /// One contact, by HubSpot's id.
    pub(crate) fn contact(id: &'a str) -> Self {
        Self { inputs: vec![ContactId { id: Cow::Borrowed(id) }] }
    }
}

impl GroupCreate {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { name: schema.group, label: schema.group_label }
    }
}

impl Inputs<PropertyCreate> {
    /// The properties that are ours to create. A portal whose contacts are found by e-mail is one
    /// that refuses unique values, so nothing is declared unique there.
    pub(crate) fn properties(schema: &Schema, key: KeyKind) -> Self {
        let ours = schema.properties.iter().filter(|property| property.origin == Origin::Ours);
        let create = |property: &Property| {
            let (kind, field_type) = types(property.kind);
            PropertyCreate {
                group_name: schema.group,
                name: property.name,
                label: property.label,
                kind,
                field_type,
                has_unique_value: property.unique && key == KeyKind::UserId,
            }
        };
        Self { inputs: ours.map(create).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }
}

fn types(kind: PropertyKind) -> (&'static str, &'static str) {
    match kind {
        PropertyKind::Text => ("string", "text"),
        PropertyKind::LongText => ("string", "textarea"),
        PropertyKind::Number => ("number", "number"),
        PropertyKind::Date => ("date", "date"),
        PropertyKind::DateTime => ("datetime", "date"),
    }
}

/// Answer of a batch call.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct BatchAnswer {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) results: Vec<BatchResult>,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) errors: Vec<ErrorAnswer>,
}

/// What became of one input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchResult {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) object_write_trace_id: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) properties: Map<String, Value>,
}

/// Answer of a group's creation.
#[derive(Debug, Deserialize)]
pub(crate) struct GroupAnswer {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) name: String,
}

/// Answer of an event's definition.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventAnswer {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) fully_qualified_name: String,
}

/// What the portal says about itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountAnswer {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) portal_id: Option<u64>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListAnswer<T> {
    /// Required: an answer without it is none.
    pub(crate) results: Vec<T>,
    #[serde(default)]
    pub(crate) paging: Paging,
}

/// Where a list goes on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Paging {
    #[serde(default)]
    pub(crate) next: NextPage,
}

/// The next page of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct NextPage {
    #[serde(default)]
    pub(crate) after: Option<String>,
}

/// A property group.
#[derive(Debug, Deserialize)]
pub(crate) struct DefinedGroup {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) name: String,
}

/// The definition of a property.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinedProperty {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) label: String,
    #[serde(rename = "type", default, deserialize_with = "if_it_fits")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) group_name: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) has_unique_value: bool,
}

/// The definition of a custom event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinedEvent {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) fully_qualified_name: String,
}

/// An error, of a whole call or of one input.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorAnswer {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) category: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) sub_category: String,
    /// Stands for the category in the older shape of a 429.
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) error_type: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) policy_name: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) message: String,
    #[serde(default, deserialize_with = "if_it_fits")]
    context: Map<String, Value>,
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) errors: Vec<ErrorDetail>,
}

/// An entry of `errors` within an error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorDetail {
    #[serde(default, deserialize_with = "if_it_fits")]
    pub(crate) code: String,
}

impl ErrorAnswer {
    /// The inputs that the error names; an error that names none is nobody's.
    pub(crate) fn trace_ids(&self) -> impl Iterator<Item = &str> {
        let named = self.context.get("objectWriteTraceId").and_then(Value::as_array);
        named.into_iter().flatten().filter_map(Value::as_str)
    }
}

fn if_it_fits<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rollcall_crm::projection::Properties;
    use rollcall_crm::schema::SCHEMA;
    use rollcall_domain::facet::Facet;
    use serde_json::json;

    use super::*;

    const USER: &str = "usr_00000000000000000000000000000001";

    fn check(address: Address, id: &str, id_property: Option<&str>) {
        let inputs = [Input {
            user: USER.parse().unwrap(),
            facets: vec![Facet::Identity],
            address,
            properties: Properties::from([
                (schema::EMAIL, "Ada@Example.org".to_owned()),
                (schema::FIRST_NAME, "Ada".to_owned()),
            ]),
        }];
        let mut expected = json!({
            "id": id,
            "properties": {"email": "ada@example.org", "firstname": "Ada"},
            "objectWriteTraceId": USER,
        });
        if let Some(id_property) = id_property {
            expected["idProperty"] = json!(id_property);
        }
        assert_eq!(json!(Inputs::contacts(&inputs)), json!({"inputs": [expected]}));
    }

    #[test]
    fn an_input_is_found_by_its_address_and_known_by_its_user() {
        check(Address::UserId(USER.parse().unwrap()), USER, Some("rollcall_user_id"));
        check(Address::Email("Ada@Example.org".to_owned()), "ada@example.org", Some("email"));
        check(Address::ContactId("512".to_owned()), "512", None);
    }

    #[test]
    fn only_our_properties_are_created_and_the_key_is_unique_where_it_is_one() {
        for (key, unique) in [(KeyKind::UserId, vec![schema::USER_ID]), (KeyKind::Email, vec![])] {
            let body = json!(Inputs::properties(&SCHEMA, key));
            let inputs = body["inputs"].as_array().unwrap();
            let named = |input: &&Value| input["name"].as_str().unwrap().starts_with("rollcall_");
            assert!(inputs.iter().all(|input| named(&input)), "{body}");
            let declared = inputs.iter().filter(|input| input["hasUniqueValue"] == true);
            assert_eq!(declared.map(|input| &input["name"]).collect::<Vec<_>>(), unique);
        }
    }
}
