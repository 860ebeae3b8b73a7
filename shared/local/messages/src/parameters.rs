//! AWS Systems Manager Parameter Store: named values with a version number.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arn;
use crate::epoch_seconds;
use crate::wire::{Call, Fault, unknown_action};

const VALUE_BYTES_MAX: usize = 4_096;
const NAMES_MAX: usize = 10;

/// All parameters by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Parameters {
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Parameter {
    kind: Kind,
    value: String,
    version: u64,
    modified_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    String,
    StringList,
    SecureString,
}

/// What the parameter store refuses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    #[error("Parameter {0} not found.")]
    NotFound(String),
    #[error(
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
    )]
    Exists,
    #[error("{0}")]
    Invalid(String),
}

impl From<ParameterError> for Fault {
    fn from(error: ParameterError) -> Self {
        let kind = match error {
            ParameterError::NotFound(_) => "ParameterNotFound",
            ParameterError::Exists => "ParameterAlreadyExists",
            ParameterError::Invalid(_) => "ValidationException",
        };
        Self::new(kind, error.to_string())
    }
}

impl Parameters {
    /// Creates a plain parameter unless there is one of that name.
    pub(crate) fn seed(&mut self, name: &str, value: &str, now_ms: i64) -> bool {
        let absent = !self.parameters.contains_key(name);
        if absent {
            let parameter = Parameter {
                kind: Kind::String,
                value: value.to_owned(),
                version: 1,
                modified_ms: now_ms,
            };
            self.parameters.insert(name.to_owned(), parameter);
        }
        absent
    }

    fn get(&self, name: &str, decrypt: bool) -> Option<Value> {
        let parameter = self.parameters.get(name)?;
        let value = match parameter.kind {
            Kind::SecureString if !decrypt => sealed(&parameter.value),
            Kind::SecureString | Kind::String | Kind::StringList => parameter.value.clone(),
        };
        Some(json!({
            "ARN": arn::of_parameter(name),
            "DataType": "text",
            "LastModifiedDate": epoch_seconds(parameter.modified_ms),
            "Name": name,
            "Type": parameter.kind,
            "Value": value,
            "Version": parameter.version,
        }))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Input {
    name: String,
    names: Vec<String>,
    value: String,
    r#type: Option<Kind>,
    overwrite: bool,
    with_decryption: bool,
}

/// Performs one action by its name.
pub(crate) fn act(call: &Call, action: &str) -> Result<Value, Fault> {
    let input: Input = call.input()?;
    match action {
        "GetParameter" => get(call, &input),
        "GetParameters" => get_many(call, &input),
        "PutParameter" => put(call, input),
        _ => Err(unknown_action()),
    }
}

fn get(call: &Call, input: &Input) -> Result<Value, Fault> {
    let name = name_for(call, &input.name, "ssm:GetParameter")?;
    let parameter = call.messages.read(|state| state.parameters.get(name, input.with_decryption));
    match parameter {
        Some(parameter) => Ok(json!({ "Parameter": parameter })),
        None => Err(ParameterError::NotFound(name.to_owned()).into()),
    }
}

fn get_many(call: &Call, input: &Input) -> Result<Value, Fault> {
    if !(1..=NAMES_MAX).contains(&input.names.len()) {
        return Err(ParameterError::Invalid(format!(
            "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and {NAMES_MAX}"
        ))
        .into());
    }
    let mut found = Vec::new();
    let mut invalid = Vec::new();
    for asked in &input.names {
        let name = name_for(call, asked, "ssm:GetParameters")?;
        let parameter =
            call.messages.read(|state| state.parameters.get(name, input.with_decryption));
        match parameter {
            Some(parameter) => found.push(parameter),
            None => invalid.push(asked.as_str()),
        }
    }
    Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
}

fn put(call: &Call, input: Input) -> Result<Value, Fault> {
    let name = name_for(call, &input.name, "ssm:PutParameter")?.to_owned();
    if !(1..=VALUE_BYTES_MAX).contains(&input.value.len()) {
        return Err(ParameterError::Invalid(format!(
            "Standard tier parameters support a maximum parameter value of {VALUE_BYTES_MAX} characters, and at least one."
        ))
        .into());
    }
    let version = call.messages.change(|state, moment| {
        let existing = state.parameters.parameters.get(&name);
        if existing.is_some() && !input.overwrite {
            return Err(ParameterError::Exists);
        }
        let kind = input.r#type.or(existing.map(|parameter| parameter.kind));
        let kind = kind.ok_or_else(|| {
            ParameterError::Invalid(
                "A parameter type is required when you create a parameter.".to_owned(),
            )
        })?;
        let version = existing.map_or(1, |parameter| parameter.version + 1);
        let parameter = Parameter { kind, value: input.value, version, modified_ms: moment.now_ms };
        state.parameters.parameters.insert(name, parameter);
        Ok(version)
    })?;
    Ok(json!({ "Version": version, "Tier": "Standard" }))
}

/// The name behind a name or an ARN, once IAM has allowed `action`.
fn name_for<'a>(call: &Call, name: &'a str, action: &str) -> Result<&'a str, Fault> {
    let name = arn::parameter_name(name).unwrap_or(name);
    call.authorize(action, &arn::of_parameter(name))?;
    Ok(name)
}

/// What a secure value looks like to a reader who does not ask for decryption: opaque, and the
/// same each time.
fn sealed(value: &str) -> String {
    STANDARD.encode(Sha256::digest(value.as_bytes()))
}
