//! Custom events: definitions, occurrences and reading them back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::batch::check_count;
use crate::objects::{number, paging};
use crate::portal::{Context, Portal};
use crate::properties::{Choice, Kind, Property};
use crate::records::Record;
use crate::standard::object_type;
use crate::values;
use crate::wire::{Answer, Refusal, instant};
use crate::write::Properties;

const OCCURRENCES_MAX: usize = 500;
const PROPERTIES_MAX: usize = 50;
const NAME_CHARACTERS_MAX: usize = 50;
const DEFINITIONS_MAX: usize = 500;
const PAGE_MAX: usize = 100;
/// How long a repeated `uuid` is recognised.
const UUID_MEMORY: SignedDuration = SignedDuration::from_hours(24 * 365);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Define {
    label: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    primary_object: Option<String>,
    #[serde(default)]
    include_default_properties: bool,
    #[serde(default)]
    property_definitions: Vec<DefineProperty>,
}

#[derive(Debug, Deserialize)]
struct DefineProperty {
    label: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    options: Vec<Choice>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Definition {
    name: String,
    label: String,
    description: String,
    full_name: String,
    id: String,
    primary_object: String,
    default_properties: bool,
    properties: Vec<Property>,
    created_at: Timestamp,
}

impl Definition {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "objectTypeId": self.id,
            "name": self.name,
            "fullyQualifiedName": self.full_name,
            "labels": { "singular": self.label },
            "description": self.description,
            "primaryObject": self.primary_object,
            "primaryObjectId": "0-1",
            "trackingType": "MANUAL",
            "archived": false,
            "associations": [],
            "properties": self.properties,
            "createdAt": instant(self.created_at),
            "updatedAt": instant(self.created_at),
        })
    }

    fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Occurrence {
    event_name: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    object_id: Option<String>,
    #[serde(default)]
    utk: Option<String>,
    #[serde(default)]
    occurred_at: Option<String>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    properties: Properties,
}

/// An occurrence as it is kept: the person is resolved when it is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    id: String,
    definition: String,
    key: String,
    uuid: Option<String>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    properties: BTreeMap<String, String>,
}

/// An occurrence as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurred {
    /// The fully qualified name of the event.
    pub name: String,
    /// Of whom: `id:{contact}` or `email:{address}`.
    pub key: String,
    /// What it is rejected by when it comes again.
    pub uuid: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it says.
    pub properties: BTreeMap<String, String>,
}

/// Definitions and occurrences of one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    definitions: BTreeMap<String, Definition>,
    occurrences: BTreeMap<u64, Event>,
    /// Person, occurrences.
    by_key: HashMap<String, BTreeSet<u64>>,
    /// `{event type} {uuid}` and when it came first.
    uuids: HashMap<String, Timestamp>,
    last_number: u64,
}

impl Events {
    fn keys(record: &Record) -> Vec<String> {
        let ids = record.merged.iter().map(|(id, _)| *id).chain([record.id]);
        let ids = ids.map(|id| format!("id:{id}"));
        ids.chain(record.emails().map(|email| format!("email:{email}"))).collect()
    }

    /// Erases what a person did.
    pub(crate) fn forget(&mut self, record: &Record) {
        for key in Self::keys(record) {
            for number in self.by_key.remove(&key).into_iter().flatten() {
                self.occurrences.remove(&number);
            }
        }
    }

    fn add(&mut self, event: Event) {
        if let Some(uuid) = &event.uuid {
            let uuid = format!("{} {uuid}", event.definition);
            let first = self.uuids.get(&uuid);
            if first.is_some_and(|first| event.received_at.duration_since(*first) < UUID_MEMORY) {
                return;
            }
            self.uuids.insert(uuid, event.received_at);
        }
        self.last_number += 1;
        self.by_key.entry(event.key.clone()).or_default().insert(self.last_number);
        self.occurrences.insert(self.last_number, event);
    }

    /// Every occurrence, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Occurred> {
        let occurred = |event: &Event| Occurred {
            name: event.definition.clone(),
            key: event.key.clone(),
            uuid: event.uuid.clone(),
            occurred_at: event.occurred_at,
            properties: event.properties.clone(),
        };
        self.occurrences.values().map(occurred).collect()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "definitions": self.definitions.values().collect::<Vec<_>>(),
            "occurrences": self.occurrences.values().collect::<Vec<_>>(),
        })
    }
}

impl Portal {
    /// Everything about custom events, whatever the path family.
    pub(crate) fn custom_events(
        &mut self,
        context: &Context<'_>,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        if !self.settings.custom_events {
            let message = "This account does not have access to custom events";
            return Err(Refusal::new(403, "MISSING_SCOPES", message));
        }
        match (context.request.method.as_str(), rest) {
            ("POST", ["send"]) => {
                let occurrence = context.request.json()?;
                self.send(context, vec![occurrence])
            }
            ("POST", ["send", "batch"]) => {
                #[derive(Deserialize)]
                struct Inputs {
                    inputs: Vec<Occurrence>,
                }
                let Inputs { inputs } = context.request.json()?;
                check_count(inputs.len(), OCCURRENCES_MAX)?;
                self.send(context, inputs)
            }
            ("POST", ["event-definitions"]) => self.define(context),
            ("GET", ["event-definitions"]) => {
                let results: Vec<_> =
                    self.events.definitions.values().map(Definition::json).collect();
                Ok(Answer::json(200, json!({ "total": results.len(), "results": results })))
            }
            ("GET", ["event-definitions", name]) => {
                let definition = self.events.definitions.get(*name);
                let definition = definition.ok_or_else(Refusal::not_found)?;
                Ok(Answer::json(200, definition.json()))
            }
            ("DELETE", ["event-definitions", name]) => {
                self.events.definitions.remove(*name).ok_or_else(Refusal::not_found)?;
                Ok(Answer::empty(204))
            }
            ("GET", ["events"]) => self.read_events(context),
            _ => Err(Refusal::not_found()),
        }
    }

    fn define(&mut self, context: &Context<'_>) -> Result<Answer, Refusal> {
        let define: Define = context.request.json()?;
        let name = define.name.unwrap_or_else(|| slug(&define.label));
        check_name(&name)?;
        let full_name = format!("pe{}_{name}", self.settings.portal_id);
        if self.events.definitions.contains_key(&full_name) {
            let message = format!("An event definition named {name} already exists");
            return Err(Refusal::new(409, "OBJECT_ALREADY_EXISTS", message));
        }
        if self.events.definitions.len() >= DEFINITIONS_MAX {
            let message = format!("At most {DEFINITIONS_MAX} event definitions are allowed");
            return Err(Refusal::invalid(message));
        }
        let mut properties = Vec::new();
        for property in define.property_definitions {
            properties.push(event_property(property, context.now)?);
        }
        let id = format!("6-{}", self.next_id);
        self.next_id += 1;
        let definition = Definition {
            name,
            label: define.label,
            description: define.description,
            full_name: full_name.clone(),
            id,
            primary_object: define.primary_object.unwrap_or_else(|| "CONTACT".to_owned()),
            default_properties: define.include_default_properties,
            properties,
            created_at: context.now,
        };
        let body = definition.json();
        self.events.definitions.insert(full_name, definition);
        Ok(Answer::json(201, body))
    }

    /// Nothing is kept unless every occurrence is acceptable.
    fn send(
        &mut self,
        context: &Context<'_>,
        occurrences: Vec<Occurrence>,
    ) -> Result<Answer, Refusal> {
        let mut events = Vec::new();
        for occurrence in occurrences {
            events.push(self.event(context, occurrence)?);
        }
        if !context.plan.no_op {
            for event in events {
                self.events.add(event);
            }
        }
        Ok(Answer::empty(204))
    }

    fn event(&mut self, context: &Context<'_>, occurrence: Occurrence) -> Result<Event, Refusal> {
        let id = self.uuid().to_string();
        let name = occurrence.event_name;
        let Some(definition) = self.events.definitions.get(&name) else {
            return Err(Refusal::invalid(format!(
                "StandardError{{status=error, category=VALIDATION_ERROR, message=Event with fully qualified name {name} does not exist., context={{}}, errors=[], links={{}}}}"
            )));
        };
        if occurrence.properties.len() > PROPERTIES_MAX {
            let message = format!("An event has at most {PROPERTIES_MAX} properties");
            return Err(Refusal::invalid(message));
        }
        let mut properties = BTreeMap::new();
        for (property, raw) in &occurrence.properties {
            let text = values::text(raw).unwrap_or_default();
            let value = match definition.property(property) {
                Some(defined) => values::stored(defined, &text, "")
                    .map_err(|invalid| Refusal::invalid(invalid.message))?,
                None if definition.default_properties && property.starts_with("hs_") => text,
                None => {
                    let message = format!("Property \"{property}\" does not exist on {name}");
                    return Err(Refusal::invalid(message));
                }
            };
            properties.insert(property.clone(), value);
        }
        let occurred_at = match occurrence.occurred_at.as_deref() {
            None => context.now,
            Some(text) => values::moment(text)
                .ok_or_else(|| Refusal::invalid(format!("Invalid occurredAt {text}")))?,
        };
        let key = match (occurrence.object_id, occurrence.email, occurrence.utk) {
            (Some(id), ..) => format!("id:{id}"),
            (None, Some(email), _) => format!("email:{}", email.trim().to_lowercase()),
            (None, None, Some(utk)) => format!("utk:{utk}"),
            (None, None, None) => {
                return Err(Refusal::invalid("One of email, objectId or utk is required"));
            }
        };
        Ok(Event {
            id,
            definition: name,
            key,
            uuid: occurrence.uuid,
            occurred_at,
            received_at: context.now,
            properties,
        })
    }

    fn read_events(&mut self, context: &Context<'_>) -> Result<Answer, Refusal> {
        let request = context.request;
        let event_type = request.parameter("eventType");
        let kind = request.parameter("objectType").unwrap_or_else(|| "contact".to_owned());
        let kind = object_type(&kind.to_lowercase()).ok_or_else(Refusal::not_found)?;
        let id = request.parameter("objectId");
        let id = id.ok_or_else(|| Refusal::invalid("objectId is required"))?;
        let limit = number(request.parameter("limit"), "limit")?.unwrap_or(PAGE_MAX);
        let after: usize = number(request.parameter("after"), "after")?.unwrap_or(0);
        let since = request.parameter("occurredAfter").and_then(|text| values::moment(&text));
        let until = request.parameter("occurredBefore").and_then(|text| values::moment(&text));
        let lag_ms = i64::try_from(self.settings.search_lag_ms).unwrap_or(i64::MAX);
        let record = self.holding(kind).table.find(None, &id).cloned();
        let record = record.ok_or_else(Refusal::not_found)?;
        let keys = Events::keys(&record);
        let numbers = keys.iter().filter_map(|key| self.events.by_key.get(key)).flatten();
        let mut found: Vec<_> = numbers
            .filter_map(|number| self.events.occurrences.get(number))
            .filter(|event| {
                let age = context.now.as_millisecond() - event.received_at.as_millisecond();
                age >= lag_ms
                    && event_type.as_ref().is_none_or(|wanted| *wanted == event.definition)
                    && since.is_none_or(|since| event.occurred_at > since)
                    && until.is_none_or(|until| event.occurred_at < until)
            })
            .collect();
        found.sort_by_key(|event| std::cmp::Reverse(event.occurred_at));
        let total = found.len();
        let results: Vec<_> = found
            .into_iter()
            .skip(after)
            .take(limit.clamp(1, PAGE_MAX))
            .map(|event| {
                json!({
                    "id": event.id,
                    "eventType": event.definition,
                    "objectType": kind.label(),
                    "objectId": record.id.to_string(),
                    "occurredAt": instant(event.occurred_at),
                    "properties": event.properties,
                })
            })
            .collect();
        let next = after + results.len();
        let mut body = json!({ "results": results });
        if next < total
            && let Value::Object(fields) = &mut body
        {
            let link = format!("{}{}?objectId={id}&after={next}", self.base_url, request.path);
            fields.insert("paging".to_owned(), paging(&next.to_string(), &link));
        }
        Ok(Answer::json(200, body))
    }
}

fn event_property(define: DefineProperty, now: Timestamp) -> Result<Property, Refusal> {
    let name = define.name.unwrap_or_else(|| slug(&define.label));
    check_name(&name)?;
    let field_type = match define.kind {
        Kind::String | Kind::PhoneNumber => "text",
        Kind::Number => "number",
        Kind::Date | Kind::Datetime => "date",
        Kind::Enumeration => "select",
        Kind::Bool => "booleancheckbox",
    };
    if define.kind == Kind::Enumeration && define.options.is_empty() {
        return Err(Refusal::invalid("Enumeration properties need options."));
    }
    let mut property = Property::custom(&name, define.kind, field_type, "event_information");
    property.label = define.label;
    property.description = define.description;
    property.options = define.options;
    property.created_at = Some(now);
    property.updated_at = Some(now);
    Ok(property)
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= NAME_CHARACTERS_MAX;
    if valid { Ok(()) } else { Err(Refusal::invalid(format!("The name {name} is not valid"))) }
}

fn slug(label: &str) -> String {
    let lower = label.trim().to_lowercase();
    lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
