//! HubSpot's published OpenAPI documents, and whether a request or an answer is what they describe.
//!
//! The documents leave three things open, which are closed here by what HubSpot does: in an answer
//! a property value may be null (only the dated documents say so); a 207 has the shape of the
//! success beside it; and every field of an error is optional. Of requests more is asked than the
//! documents do: a field that a schema does not name is an error, since HubSpot would pass over a
//! misspelt one in silence.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];

/// The published documents.
#[derive(Debug)]
pub struct Published {
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    method: String,
    /// Segments of the path; `None` stands for a parameter.
    path: Vec<Option<String>>,
    request: Option<Check>,
    /// Status and shape; no shape means an empty body.
    answers: Vec<(u16, Option<Check>)>,
    error: Check,
}

/// A schema, compiled when it is first needed.
#[derive(Debug)]
struct Check {
    components: Arc<Value>,
    schema: Value,
    compiled: OnceLock<Result<Validator, String>>,
}

impl Check {
    fn new(components: &Arc<Value>, schema: &Value) -> Self {
        Self {
            components: Arc::clone(components),
            schema: schema.clone(),
            compiled: OnceLock::new(),
        }
    }

    fn validate(&self, body: &Value) -> Result<(), String> {
        let compiled = self.compiled.get_or_init(|| {
            let mut whole = Map::new();
            whole.insert("components".to_owned(), json!({ "schemas": &*self.components }));
            whole.insert("allOf".to_owned(), json!([self.schema]));
            jsonschema::options()
                .should_validate_formats(true)
                .build(&Value::Object(whole))
                .map_err(|error| error.to_string())
        });
        let validator = compiled.as_ref().map_err(Clone::clone)?;
        let errors: Vec<_> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }
}

impl Published {
    /// Reads every `*.json` in `folder`; `None` when there is no readable document.
    pub fn load(folder: &Path) -> Option<Self> {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let mut operations = Vec::new();
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "json")) {
            let document = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
            operations.extend(read(&document));
        }
        // A path that spells out the object type says more than one with a parameter.
        operations.sort_by_key(|operation| operation.path.iter().filter(|s| s.is_none()).count());
        (!operations.is_empty()).then_some(Self { operations })
    }

    /// Whether this request is as published. `path` may carry a query; an empty `body` is JSON
    /// null.
    ///
    /// # Errors
    ///
    /// A text that says which operation or field is not.
    pub fn validate_request(&self, method: &str, path: &str, body: &Value) -> Result<(), String> {
        let operation = self.operation(method, path)?;
        let result = match &operation.request {
            Some(check) => check.validate(body),
            None if body.is_null() => Ok(()),
            None => Err("takes no body".to_owned()),
        };
        result.map_err(|reason| format!("request {method} {path}: {reason}"))
    }

    /// Whether this answer is as published.
    ///
    /// # Errors
    ///
    /// A text that says which operation, status or field is not.
    pub fn validate_response(
        &self,
        method: &str,
        path: &str,
        status: u16,
        body: &Value,
    ) -> Result<(), String> {
        let operation = self.operation(method, path)?;
        let result = if status >= 400 {
            operation.error.validate(body)
        } else {
            operation.validate_success(status, body)
        };
        result.map_err(|reason| format!("answer {status} of {method} {path}: {reason}"))
    }

    fn operation(&self, method: &str, path: &str) -> Result<&Operation, String> {
        let path = path.split('?').next().unwrap_or_default().replace("2026-03", "2026-09");
        // Custom events are published for the dated family only.
        let path = path.replace("/events/v3/", "/events/custom/2026-09/");
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        self.operations
            .iter()
            .find(|operation| {
                operation.method.eq_ignore_ascii_case(method)
                    && operation.path.len() == segments.len()
                    && operation.path.iter().zip(&segments).all(|(wanted, segment)| {
                        wanted.as_ref().is_none_or(|wanted| wanted == segment)
                    })
            })
            .ok_or_else(|| format!("{method} {path} is not published"))
    }
}

impl Operation {
    fn validate_success(&self, status: u16, body: &Value) -> Result<(), String> {
        let exact = self.answers.iter().find(|(published, _)| *published == status);
        let partial = || self.answers.first().filter(|_| status == 207);
        match exact.or_else(partial) {
            Some((_, Some(check))) => check.validate(body),
            Some((_, None)) if body.is_null() => Ok(()),
            Some((_, None)) => Err("has a body".to_owned()),
            None => Err("this status is not published".to_owned()),
        }
    }
}

fn read(document: &Value) -> Vec<Operation> {
    let schemas = document.pointer("/components/schemas");
    let schemas = schemas.unwrap_or(&Value::Null);
    let answers = Arc::new(answer_schemas(schemas));
    let requests = Arc::new(request_schemas(schemas));
    let mut errors = schemas.clone();
    if let Some(error) = errors.get_mut("Error").and_then(Value::as_object_mut) {
        error.remove("required");
    }
    let errors = Arc::new(errors);
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let shape = |part: &Value| part.pointer("/content/application~1json/schema").cloned();
            let request = shape(&operation["requestBody"]);
            let published = operation["responses"].as_object().into_iter().flatten();
            operations.push(Operation {
                method: method.to_owned(),
                path: segments(path),
                request: request.map(|schema| Check::new(&requests, &schema)),
                answers: published
                    .filter_map(|(status, answer)| {
                        let check = shape(answer).map(|schema| Check::new(&answers, &schema));
                        Some((status.parse().ok()?, check))
                    })
                    .collect(),
                error: Check::new(&errors, &error),
            });
        }
    }
    operations
}

fn segments(path: &str) -> Vec<Option<String>> {
    let segments = path.trim_matches('/').split('/');
    segments.map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned())).collect()
}

/// OpenAPI 3.0 says `nullable` where JSON Schema lists `null` among the types.
fn with_nullable(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut()
        && fields.get("nullable") == Some(&Value::Bool(true))
        && let Some(type_) = fields.get("type").cloned()
    {
        fields.insert("type".to_owned(), json!([type_, "null"]));
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(with_nullable),
        Value::Array(items) => items.iter_mut().for_each(with_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn answer_schemas(schemas: &Value) -> Value {
    let mut schemas = schemas.clone();
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        let values = schema.pointer_mut("/properties/properties/additionalProperties");
        if let Some(values) = values.filter(|_| name.starts_with("SimplePublic")) {
            *values = json!({ "type": ["string", "null"] });
        }
        with_nullable(schema);
    }
    schemas
}

fn request_schemas(schemas: &Value) -> Value {
    let mut schemas = schemas.clone();
    for schema in schemas.as_object_mut().into_iter().flat_map(|schemas| schemas.values_mut()) {
        with_nullable(schema);
        if let Some(fields) = schema.as_object_mut()
            && fields.contains_key("properties")
        {
            fields.entry("additionalProperties").or_insert(json!(false));
        }
    }
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Published {
        let names = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        let content =
            |name: &str| json!({ "content": { "application/json": { "schema": names(name) } } });
        let document = json!({
            "paths": { "/crm/objects/2026-09/{objectType}": { "post": {
                "requestBody": content("Input"),
                "responses": { "201": content("SimplePublicObject"), "default": {} },
            } } },
            "components": { "schemas": {
                "Error": { "type": "object", "required": ["category"],
                           "properties": { "message": { "type": "string" } } },
                "Input": { "type": "object", "required": ["properties"], "properties": {
                    "properties": { "type": "object",
                                    "additionalProperties": { "type": "string" } },
                    "note": { "type": "string", "nullable": true } } },
                "SimplePublicObject": { "type": "object", "required": ["id"], "properties": {
                    "id": { "type": "string" },
                    "createdAt": { "type": "string", "format": "date-time" },
                    "properties": { "type": "object",
                                    "additionalProperties": { "type": "string" } } } },
            } },
        });
        Published { operations: read(&document) }
    }

    #[test]
    fn requests_are_held_to_every_field() {
        for (path, body, valid) in [
            ("/crm/objects/2026-09/contacts", json!({"properties": {"a": "b"}}), true),
            ("/crm/objects/2026-03/contacts?x=y", json!({"properties": {}, "note": null}), true),
            ("/crm/objects/2026-09/contacts", json!({"properties": {"a": null}}), false),
            ("/crm/objects/2026-09/contacts", json!({"properties": {}, "noet": "x"}), false),
            ("/crm/objects/2026-09/contacts", json!({}), false),
            ("/crm/objects/2026-09/contacts", Value::Null, false),
            ("/crm/objects/2026-09", json!({"properties": {}}), false),
        ] {
            let found = published().validate_request("POST", path, &body);
            assert_eq!(found.is_ok(), valid, "{path} {body}: {found:?}");
        }
    }

    #[test]
    fn answers_are_held_to_their_status_and_shape() {
        for (status, body, valid) in [
            (201, json!({"id": "7", "properties": {"a": null}}), true),
            (207, json!({"id": "7"}), true),
            (200, json!({"id": "7"}), false),
            (201, json!({"id": 7}), false),
            (201, json!({"id": "7", "createdAt": "yesterday"}), false),
            (201, Value::Null, false),
            (429, json!({"message": "slow down", "policyName": "DAILY"}), true),
            (400, json!({"message": 1}), false),
        ] {
            let path = "/crm/objects/2026-09/contacts";
            let found = published().validate_response("POST", path, status, &body);
            assert_eq!(found.is_ok(), valid, "{status} {body}: {found:?}");
        }
    }
}
