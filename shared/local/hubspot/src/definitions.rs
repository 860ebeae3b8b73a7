//! The properties API over the schema of one object type.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::batch::{check_count, envelope};
use crate::portal::{Context, Portal};
use crate::properties::{Create, CreateGroup, Property, no_property};
use crate::standard::ObjectType;
use crate::wire::{Answer, Refusal};

const INPUTS_MAX: usize = 100;

#[derive(Debug, Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct NameInput {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateGroup {
    label: Option<String>,
    display_order: Option<i32>,
}

impl Portal {
    /// Everything below `…/properties/{type}`.
    pub(crate) fn definitions(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        dated: bool,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        let before = context.plan.no_op.then(|| self.holding(kind).schema.clone());
        let answer = match rest {
            ["groups", rest @ ..] => self.groups(context, kind, rest),
            ["batch", operation] => self.batch_definitions(context, kind, dated, operation),
            _ => self.single_definitions(context, kind, rest),
        };
        if let Some(before) = before {
            self.holding(kind).schema = before;
        }
        answer
    }

    fn single_definitions(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        let request = context.request;
        let archived = request.flag("archived");
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let properties = self.holding(kind).schema.properties.values();
                let results: Vec<_> =
                    properties.filter(|p| p.archived == archived).map(Property::json).collect();
                Ok(Answer::json(200, json!({ "results": results })))
            }
            ("POST", []) => {
                let property = self.define_property(context, kind, request.json()?)?;
                Ok(Answer::json(201, property.json()))
            }
            ("GET", [name]) => {
                let property = self.holding(kind).schema.properties.get(*name);
                let property = property.filter(|property| property.archived == archived);
                let property = property.ok_or_else(|| no_property(name))?;
                Ok(Answer::json(200, property.json()))
            }
            ("PATCH", [name]) => {
                let change: Map<String, Value> = request.json()?;
                let property = self.holding(kind).schema.update(name, change, context.now)?;
                Ok(Answer::json(200, property.json()))
            }
            ("DELETE", [name]) => {
                self.archive_property(context, kind, name)?;
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    fn define_property(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        create: Create,
    ) -> Result<Property, Refusal> {
        if create.has_unique_value && kind.is_contact() && !self.settings.unique_keys_on_contacts {
            return Err(Refusal::invalid(format!(
                "Unique values are not supported for the property '{}' of {}",
                create.name, kind.id
            )));
        }
        let holding = self.holding(kind);
        let property = holding.schema.create(create, context.now)?;
        if property.has_unique_value && !context.plan.no_op {
            holding.table.add_unique(&property.name);
        }
        Ok(property)
    }

    fn archive_property(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        name: &str,
    ) -> Result<(), Refusal> {
        let holding = self.holding(kind);
        holding.schema.archive(name, context.now)?;
        if !context.plan.no_op {
            holding.table.forget_property(name);
        }
        Ok(())
    }

    fn batch_definitions(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        dated: bool,
        operation: &str,
    ) -> Result<Answer, Refusal> {
        let mut results = Vec::new();
        let mut errors = Vec::new();
        if operation == "create" {
            let Inputs { inputs }: Inputs<Create> = context.request.json()?;
            check_count(inputs.len(), INPUTS_MAX)?;
            for input in inputs {
                let name = input.name.clone();
                match self.define_property(context, kind, input) {
                    Ok(property) => results.push(property.json()),
                    Err(refusal) => {
                        errors.push(refusal.with_context("propertyName", vec![name]).item(None));
                    }
                }
            }
            // The one place where the published families differ.
            let status = if dated { 200 } else { 201 };
            return Ok(envelope(context, status, results, errors));
        }
        let Inputs { inputs }: Inputs<NameInput> = context.request.json()?;
        check_count(inputs.len(), INPUTS_MAX)?;
        match operation {
            "read" => {
                for input in inputs {
                    match self.holding(kind).schema.property(&input.name) {
                        Some(property) => results.push(property.json()),
                        None => errors.push(no_property(&input.name).item(None)),
                    }
                }
                Ok(envelope(context, 200, results, errors))
            }
            "archive" => {
                for input in inputs {
                    // Archiving what is not there is no failure of a batch.
                    if self.holding(kind).schema.property(&input.name).is_some() {
                        self.archive_property(context, kind, &input.name)?;
                    }
                }
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    fn groups(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        let request = context.request;
        let schema = &mut self.holding(kind).schema;
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let results: Vec<_> = schema.groups.values().collect();
                Ok(Answer::json(200, json!({ "results": results })))
            }
            ("POST", []) => {
                let create: CreateGroup = request.json()?;
                Ok(Answer::json(201, json!(schema.create_group(create)?)))
            }
            ("GET", [name]) => {
                let group = schema.groups.get(*name).ok_or_else(Refusal::not_found)?;
                Ok(Answer::json(200, json!(group)))
            }
            ("PATCH", [name]) => {
                let UpdateGroup { label, display_order } = request.json()?;
                let group = schema.update_group(name, label, display_order)?;
                Ok(Answer::json(200, json!(group)))
            }
            ("DELETE", [name]) => {
                schema.archive_group(name)?;
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::not_found()),
        }
    }
}
