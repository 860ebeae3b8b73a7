//! Single records: create, read, change, archive, list.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::associations::NewLink;
use crate::batch::normalised;
use crate::portal::{Context, Portal};
use crate::properties::Schema;
use crate::records::Record;
use crate::standard::ObjectType;
use crate::wire::{Answer, Refusal};
use crate::write::Properties;

/// Records on one page of a list.
const PAGE_MAX: usize = 100;
/// Records on one page that shows history.
const PAGE_WITH_HISTORY_MAX: usize = 50;
const PAGE_DEFAULT: usize = 10;

pub(crate) const NOTHING_TO_UPDATE: &str =
    "No properties found to update, please provide at least one.";

#[derive(Debug, Deserialize)]
struct WriteBody {
    properties: Properties,
    #[serde(default)]
    associations: Vec<NewLink>,
}

/// What a write answers: the values it wrote, and those that are always shown.
pub(crate) fn written<'a>(
    kind: &ObjectType,
    schema: &Schema,
    record: &Record,
    names: impl Iterator<Item = &'a String>,
) -> Map<String, Value> {
    let shown = kind.shown.iter().copied().filter(|name| !record.get(name).is_empty());
    record.json(kind, schema, shown.chain(names.map(String::as_str)))
}

impl Portal {
    /// Everything below `…/objects/{type}`.
    pub(crate) fn objects(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        self.holding(kind).table.begin();
        match (context.request.method.as_str(), rest) {
            ("GET", []) => self.list(context, kind),
            ("POST", []) => self.create(context, kind),
            ("POST", ["search"]) => self.search(context, kind),
            ("POST", ["merge"]) => self.merge_call(context, kind),
            ("POST", ["gdpr-delete"]) => self.erase_call(context, kind),
            ("POST", ["batch", operation]) => self.batch(context, kind, operation),
            (_, [id, "associations", rest @ ..]) => self.associations_of(context, (kind, id), rest),
            ("GET", [id]) => self.read(context, kind, id),
            ("PATCH", [id]) => self.update(context, kind, id),
            ("DELETE", [id]) => Ok(self.archive(context, kind, id)),
            _ => Err(Refusal::not_found()),
        }
    }

    fn create(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let body: WriteBody = context.request.json()?;
        let record = self.writer(kind, context).create(&body.properties)?;
        if let Err(refusal) = self.link_new(kind, record.id, &body.associations) {
            self.holding(kind).table.roll_back(context.now);
            return Err(refusal);
        }
        let object = written(kind, &self.holding(kind).schema, &record, body.properties.keys());
        Ok(Answer::json(201, Value::Object(object)))
    }

    /// The living record that the path and `idProperty` name.
    fn found(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        id: &str,
    ) -> Result<Arc<Record>, Refusal> {
        let property = context.request.parameter("idProperty");
        let property = property.as_deref();
        let table = &self.holding(kind).table;
        if let Some(property) = property
            && !table.is_unique(property)
        {
            let message = format!("{property} is not a unique property of {}", kind.id);
            return Err(Refusal::invalid(message));
        }
        let record = table.find(property, &normalised(property, id));
        record.map(Arc::clone).ok_or_else(Refusal::not_found)
    }

    fn read(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        id: &str,
    ) -> Result<Answer, Refusal> {
        let record = if context.request.flag("archived") {
            let record = self.holding(kind).table.by_id(id);
            let record = record.filter(|record| record.archived_at.is_some());
            record.map(Arc::clone).ok_or_else(Refusal::not_found)?
        } else {
            self.found(context, kind, id)?
        };
        Ok(Answer::json(200, self.shown(context, kind, &record)))
    }

    /// A record with the properties and histories that the query asks for.
    fn shown(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        record: &Record,
    ) -> Value {
        let asked = context.request.list("properties");
        let history = context.request.list("propertiesWithHistory");
        let names: Vec<&str> = if asked.is_empty() {
            kind.shown.to_vec()
        } else {
            asked.iter().map(String::as_str).collect()
        };
        let mut object = record.json(kind, &self.holding(kind).schema, names);
        if !history.is_empty() {
            object.insert("propertiesWithHistory".to_owned(), record.history(&history));
        }
        Value::Object(object)
    }

    fn update(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        id: &str,
    ) -> Result<Answer, Refusal> {
        let body: WriteBody = context.request.json()?;
        let record = self.found(context, kind, id)?;
        if body.properties.is_empty() {
            return Err(Refusal::invalid(NOTHING_TO_UPDATE));
        }
        let record = self.writer(kind, context).update(&record, &body.properties)?;
        let object = written(kind, &self.holding(kind).schema, &record, body.properties.keys());
        Ok(Answer::json(200, Value::Object(object)))
    }

    /// Archiving what is archived or was never there succeeds too.
    fn archive(&mut self, context: &Context<'_>, kind: &'static ObjectType, id: &str) -> Answer {
        let table = &mut self.holding(kind).table;
        if let Some(record) = table.find(None, id) {
            let mut record = Record::clone(record);
            record.archived_at = Some(context.now);
            table.put(record, context.now);
        }
        Answer::empty(204)
    }

    fn list(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let request = context.request;
        let history = request.parameter("propertiesWithHistory").is_some();
        let most = if history { PAGE_WITH_HISTORY_MAX } else { PAGE_MAX };
        let limit = number(request.parameter("limit"), "limit")?.unwrap_or(PAGE_DEFAULT);
        if limit == 0 || limit > most {
            return Err(Refusal::invalid(format!("limit must be between 1 and {most}")));
        }
        let after = number(request.parameter("after"), "after")?.unwrap_or(0);
        let archived = request.flag("archived");
        let page = self.holding(kind).table.page(after, archived);
        let mut records: Vec<_> = page.take(limit + 1).map(Arc::clone).collect();
        let more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().map_or(0, |record| record.id);
        let results: Vec<_> =
            records.iter().map(|record| self.shown(context, kind, record)).collect();
        let mut body = json!({ "results": results });
        if more && let Value::Object(fields) = &mut body {
            let link = format!(
                "{}{}?limit={limit}&after={last}&archived={archived}",
                self.base_url, request.path
            );
            fields.insert("paging".to_owned(), paging(&last.to_string(), &link));
        }
        Ok(Answer::json(200, body))
    }
}

pub(crate) fn paging(after: &str, link: &str) -> Value {
    json!({ "next": { "after": after, "link": link } })
}

/// A number from the query.
pub(crate) fn number<T: std::str::FromStr>(
    value: Option<String>,
    name: &str,
) -> Result<Option<T>, Refusal> {
    value
        .map(|value| value.parse().ok().ok_or_else(|| Refusal::invalid(format!("Invalid {name}"))))
        .transpose()
}
