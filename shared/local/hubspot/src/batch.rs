//! Batch calls: what fails as a whole, what fails input by input, and in which order results come.
//!
//! The rules a client trips over: ids must be unique within a call; only when every input carries a
//! trace id of its own does one bad input leave the others alone; results come in any order.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rand::seq::SliceRandom;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::associations::NewLink;
use crate::objects::written;
use crate::portal::{Context, Portal};
use crate::records::Record;
use crate::standard::ObjectType;
use crate::wire::{Answer, Refusal, instant};
use crate::write::{Properties, Writer};

/// Inputs of one batch call.
const INPUTS_MAX: usize = 100;
/// Inputs of one batch read that asks for history.
const INPUTS_WITH_HISTORY_MAX: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Update,
    Upsert,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteInput {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    id_property: Option<String>,
    properties: Properties,
    #[serde(default)]
    associations: Vec<NewLink>,
    #[serde(default)]
    object_write_trace_id: Option<String>,
}

impl WriteInput {
    /// The id in the form in which HubSpot compares it.
    fn key(&self) -> String {
        let id = self.id.as_deref().unwrap_or_default();
        normalised(self.id_property.as_deref(), id)
    }
}

#[derive(Debug, Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct IdInput {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadInput {
    inputs: Vec<IdInput>,
    #[serde(default)]
    id_property: Option<String>,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default)]
    properties_with_history: Vec<String>,
}

/// A value of an identifying property as HubSpot stores it: addresses are lower-cased.
pub(crate) fn normalised(id_property: Option<&str>, id: &str) -> String {
    if id_property == Some("email") { id.trim().to_lowercase() } else { id.to_owned() }
}

impl Portal {
    /// `POST …/{type}/batch/{operation}`.
    pub(crate) fn batch(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        operation: &str,
    ) -> Result<Answer, Refusal> {
        match operation {
            "create" => self.batch_write(context, kind, Operation::Create),
            "update" => self.batch_write(context, kind, Operation::Update),
            "upsert" => self.batch_write(context, kind, Operation::Upsert),
            "read" => self.batch_read(context, kind),
            "archive" => self.batch_archive(context, kind),
            _ => Err(Refusal::not_found()),
        }
    }

    fn batch_write(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        operation: Operation,
    ) -> Result<Answer, Refusal> {
        let Inputs { inputs }: Inputs<WriteInput> = context.request.json()?;
        check_count(inputs.len(), INPUTS_MAX)?;
        check_shape(operation, &inputs)?;
        if operation != Operation::Create {
            for input in &inputs {
                self.check_key(kind, input.id_property.as_deref())?;
            }
            check_distinct(&inputs)?;
        }
        let traces: HashSet<_> =
            inputs.iter().filter_map(|input| input.object_write_trace_id.as_deref()).collect();
        let per_input = traces.len() == inputs.len();
        let mut results = Vec::new();
        let mut errors = Vec::new();
        let mut unknown = BTreeSet::new();
        for (index, input) in inputs.iter().enumerate() {
            let outcome = match context.plan.partial.get(&index) {
                Some((category, message)) => Err(Refusal::new(400, category, message.as_str())),
                None => write(&mut self.writer(kind, context), operation, input),
            };
            match outcome {
                Ok((record, new)) => {
                    self.link_new(kind, record.id, &input.associations)?;
                    results.push(self.result(kind, input, &record, operation, new));
                }
                Err(refusal) if per_input => {
                    unknown.extend(refusal.unknown_properties());
                    errors.push(refusal.item(input.object_write_trace_id.as_deref()));
                }
                Err(mut refusal) => {
                    self.holding(kind).table.roll_back(context.now);
                    refusal.status = 400;
                    return Err(refusal);
                }
            }
        }
        self.unknown_properties.append(&mut unknown);
        results.shuffle(&mut self.random);
        let status = if operation == Operation::Create { 201 } else { 200 };
        Ok(envelope(context, status, results, errors))
    }

    /// Only e-mail of contacts and properties with unique values identify a record.
    fn check_key(
        &mut self,
        kind: &'static ObjectType,
        id_property: Option<&str>,
    ) -> Result<(), Refusal> {
        match id_property {
            Some(property) if !self.holding(kind).table.is_unique(property) => {
                Err(Refusal::invalid(format!(
                    "Unable to perform update/upsert by non-unique {} property {property}",
                    kind.id
                )))
            }
            _ => Ok(()),
        }
    }

    fn result(
        &mut self,
        kind: &'static ObjectType,
        input: &WriteInput,
        record: &Record,
        operation: Operation,
        new: bool,
    ) -> Value {
        let schema = &self.holding(kind).schema;
        let names = input.properties.keys().chain(&input.id_property);
        let mut object = written(kind, schema, record, names);
        if operation == Operation::Upsert {
            object.insert("new".to_owned(), json!(new));
        }
        if let Some(trace_id) = &input.object_write_trace_id {
            object.insert("objectWriteTraceId".to_owned(), json!(trace_id));
        }
        Value::Object(object)
    }

    fn batch_read(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let read: ReadInput = context.request.json()?;
        let history = !read.properties_with_history.is_empty();
        let most = if history { INPUTS_WITH_HISTORY_MAX } else { INPUTS_MAX };
        check_count(read.inputs.len(), most)?;
        let property = read.id_property.as_deref();
        self.check_key(kind, property)?;
        let archived = context.request.flag("archived");
        let holding = self.holding(kind);
        let names: Vec<&str> = if read.properties.is_empty() {
            kind.shown.to_vec()
        } else {
            read.properties.iter().map(String::as_str).collect()
        };
        let mut results = Vec::new();
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        for input in read.inputs {
            let id = normalised(property, &input.id);
            let found = if archived && property.is_none() {
                holding.table.by_id(&id).filter(|record| record.archived_at.is_some())
            } else {
                holding.table.find(property, &id)
            };
            match found {
                Some(record) if seen.insert(record.id) => {
                    let mut object = record.json(kind, &holding.schema, names.iter().copied());
                    if history {
                        let versions = record.history(&read.properties_with_history);
                        object.insert("propertiesWithHistory".to_owned(), versions);
                    }
                    results.push(Value::Object(object));
                }
                Some(_) => {}
                None => missing.push(input.id),
            }
        }
        results.shuffle(&mut self.random);
        let errors = if missing.is_empty() {
            Vec::new()
        } else {
            vec![some_missing(kind, missing).item(None)]
        };
        Ok(envelope(context, 200, results, errors))
    }

    fn batch_archive(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let Inputs { inputs }: Inputs<IdInput> = context.request.json()?;
        check_count(inputs.len(), INPUTS_MAX)?;
        let ignored = self.settings.archive_ignores_unknown_ids;
        let table = &mut self.holding(kind).table;
        let (known, unknown): (Vec<_>, Vec<_>) =
            inputs.into_iter().partition(|input| table.find(None, &input.id).is_some());
        if !unknown.is_empty() && !ignored {
            let ids = unknown.into_iter().map(|input| input.id).collect();
            return Err(some_missing(kind, ids));
        }
        for input in known {
            if let Some(record) = table.find(None, &input.id) {
                let mut record = Record::clone(record);
                record.archived_at = Some(context.now);
                table.put(record, context.now);
            }
        }
        Ok(Answer::empty(204))
    }
}

fn some_missing(kind: &ObjectType, ids: Vec<String>) -> Refusal {
    let message = format!(
        "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
        kind.label()
    );
    Refusal::new(400, "OBJECT_NOT_FOUND", message).with_context("ids", ids)
}

/// An empty batch is refused, which is the stricter reading: no client has a reason to send one.
pub(crate) fn check_count(count: usize, most: usize) -> Result<(), Refusal> {
    if count == 0 {
        return Err(Refusal::invalid("Some required fields were not set: [inputs]"));
    }
    if count > most {
        return Err(Refusal::invalid(format!(
            "The maximum number of inputs supported in a batch request is {most}. Found {count}."
        )));
    }
    Ok(())
}

fn check_shape(operation: Operation, inputs: &[WriteInput]) -> Result<(), Refusal> {
    for input in inputs {
        if operation != Operation::Create && input.id.as_deref().is_none_or(str::is_empty) {
            return Err(Refusal::invalid("Some required fields were not set: [id]"));
        }
        if operation == Operation::Upsert && input.id_property.is_none() {
            return Err(Refusal::invalid("Some required fields were not set: [idProperty]"));
        }
    }
    Ok(())
}

fn check_distinct(inputs: &[WriteInput]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let mut repeated: Vec<String> = Vec::new();
    for input in inputs {
        let key = input.key();
        if !seen.insert(key.clone()) && !repeated.contains(&key) {
            repeated.push(key);
        }
    }
    if repeated.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Duplicate IDs found in batch input: [{}]. IDs must be unique",
        repeated.join(", ")
    );
    Err(Refusal::invalid(message).with_context("ids", repeated))
}

/// Carries out one input; the flag tells whether the record is new.
fn write(
    writer: &mut Writer<'_>,
    operation: Operation,
    input: &WriteInput,
) -> Result<(Arc<Record>, bool), Refusal> {
    if operation == Operation::Create {
        return Ok((writer.create(&input.properties)?, true));
    }
    let property = input.id_property.as_deref();
    let key = input.key();
    let Some(record) = writer.table.find(property, &key).map(Arc::clone) else {
        return create_by_key(writer, operation, input, &key);
    };
    if operation == Operation::Update && input.properties.is_empty() {
        return Err(Refusal::invalid(crate::objects::NOTHING_TO_UPDATE));
    }
    let blanks = operation == Operation::Upsert
        && property == Some("email")
        && writer.settings.email_upsert_blanks_omitted;
    let written = if blanks {
        let blanked = writer.blank_omitted(&record, &input.properties);
        writer.update(&blanked, &input.properties)?
    } else {
        writer.update(&record, &input.properties)?
    };
    Ok((written, false))
}

fn create_by_key(
    writer: &mut Writer<'_>,
    operation: Operation,
    input: &WriteInput,
    key: &str,
) -> Result<(Arc<Record>, bool), Refusal> {
    let id = input.id.clone().unwrap_or_default();
    let Some(property) = input.id_property.as_deref().filter(|_| operation == Operation::Upsert)
    else {
        return Err(some_missing(writer.table.kind, vec![id]));
    };
    let mut properties = input.properties.clone();
    properties.insert(property.to_owned(), json!(key));
    Ok((writer.create(&properties)?, true))
}

/// The envelope of a batch: 207 as soon as one input failed.
pub(crate) fn envelope(
    context: &Context<'_>,
    status: u16,
    results: Vec<Value>,
    errors: Vec<Value>,
) -> Answer {
    let mut body = Map::new();
    body.insert("status".to_owned(), json!("COMPLETE"));
    body.insert("results".to_owned(), Value::Array(results));
    body.insert("startedAt".to_owned(), json!(instant(context.now)));
    body.insert("completedAt".to_owned(), json!(instant(context.now)));
    if errors.is_empty() {
        return Answer::json(status, Value::Object(body));
    }
    body.insert("numErrors".to_owned(), json!(errors.len()));
    body.insert("errors".to_owned(), Value::Array(errors));
    Answer::json(207, Value::Object(body))
}
