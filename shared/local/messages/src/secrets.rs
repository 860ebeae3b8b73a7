//! AWS Secrets Manager: secrets with versions and the stages that point at them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arn;
use crate::wire::{Call, Fault, unknown_action};
use crate::{epoch_seconds, new_id};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
const SUFFIX_CHARS: usize = 6;

/// All secrets by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Secrets {
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    description: Option<String>,
    created_ms: i64,
    changed_ms: i64,
    versions: BTreeMap<String, Version>,
    /// Stage to version id.
    stages: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Version {
    value: SecretValue,
    created_ms: i64,
}

/// Text, or bytes in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretValue {
    SecretString(String),
    SecretBinary(String),
}

/// What Secrets Manager refuses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("Secrets Manager can't find the specified secret.")]
    NoSuchSecret,
    #[error("Secrets Manager can't find the specified secret value for {0}")]
    NoSuchVersion(String),
    #[error("The operation failed because the secret {0} already exists.")]
    Exists(String),
    #[error("A resource with the ID you requested already exists.")]
    TokenReused,
    #[error("You must provide either SecretString or SecretBinary.")]
    NoValue,
}

impl From<SecretError> for Fault {
    fn from(error: SecretError) -> Self {
        let kind = match error {
            SecretError::NoSuchSecret | SecretError::NoSuchVersion(_) => {
                "ResourceNotFoundException"
            }
            SecretError::Exists(_) | SecretError::TokenReused => "ResourceExistsException",
            SecretError::NoValue => "InvalidRequestException",
        };
        Self::new(kind, error.to_string())
    }
}

impl Secrets {
    /// Creates a secret unless there is one of that name.
    pub(crate) fn seed(&mut self, name: &str, value: &str, now_ms: i64) -> bool {
        let absent = !self.secrets.contains_key(name);
        if absent {
            let value = SecretValue::SecretString(value.to_owned());
            let secret = Secret::new(None, now_ms).with(&new_id(), value, now_ms);
            self.secrets.insert(name.to_owned(), secret);
        }
        absent
    }

    /// Makes a value the current one; the one there was becomes the previous one.
    pub(crate) fn rotate(&mut self, name: &str, value: &str, made_ms: i64) -> bool {
        let Some(secret) = self.secrets.get_mut(name) else { return false };
        let value = SecretValue::SecretString(value.to_owned());
        secret.put(&new_id(), value, &[CURRENT.to_owned()], made_ms);
        true
    }
}

impl Secret {
    fn new(description: Option<String>, now_ms: i64) -> Self {
        Self {
            description,
            created_ms: now_ms,
            changed_ms: now_ms,
            versions: BTreeMap::new(),
            stages: BTreeMap::new(),
        }
    }

    fn with(mut self, id: &str, value: SecretValue, now_ms: i64) -> Self {
        self.put(id, value, &[CURRENT.to_owned()], now_ms);
        self
    }

    /// Adds a version and points stages at it. The version that was current becomes the previous
    /// one, and versions without a stage are forgotten.
    fn put(&mut self, id: &str, value: SecretValue, stages: &[String], now_ms: i64) {
        let version = Version { value, created_ms: now_ms };
        self.versions.insert(id.to_owned(), version);
        self.changed_ms = now_ms;
        for stage in stages {
            let replaced = self.stages.insert(stage.clone(), id.to_owned());
            if let Some(replaced) = replaced.filter(|_| stage == CURRENT) {
                self.stages.insert(PREVIOUS.to_owned(), replaced);
            }
        }
        let pointers = &self.stages;
        self.versions.retain(|id, _| pointers.values().any(|version| version == id));
    }

    fn stages_of(&self, version_id: &str) -> Vec<&str> {
        let stages = self.stages.iter().filter(|(_, id)| *id == version_id);
        stages.map(|(stage, _)| stage.as_str()).collect()
    }

    fn version(
        &self,
        id: Option<&str>,
        stage: Option<&str>,
    ) -> Result<(&str, &Version), SecretError> {
        let missing = || {
            SecretError::NoSuchVersion(match id {
                Some(id) => format!("VersionId: {id}"),
                None => format!("staging label: {}", stage.unwrap_or(CURRENT)),
            })
        };
        let id = match id {
            Some(id) => id,
            None => self.stages.get(stage.unwrap_or(CURRENT)).ok_or_else(missing)?,
        };
        let (id, version) = self.versions.get_key_value(id).ok_or_else(missing)?;
        if stage.is_some_and(|stage| self.stages.get(stage) != Some(id)) {
            return Err(missing());
        }
        Ok((id, version))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Input {
    name: String,
    secret_id: String,
    description: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
    client_request_token: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
    version_stages: Option<Vec<String>>,
}

impl Input {
    fn value(&self) -> Result<SecretValue, SecretError> {
        match (&self.secret_string, &self.secret_binary) {
            (Some(text), None) => Ok(SecretValue::SecretString(text.clone())),
            (None, Some(bytes)) => Ok(SecretValue::SecretBinary(bytes.clone())),
            (None, None) | (Some(_), Some(_)) => Err(SecretError::NoValue),
        }
    }

    fn token(&self) -> String {
        self.client_request_token.clone().unwrap_or_else(new_id)
    }
}

/// Performs one action by its name.
pub(crate) fn act(call: &Call, action: &str) -> Result<Value, Fault> {
    let input: Input = call.input()?;
    match action {
        "CreateSecret" => create(call, &input),
        "GetSecretValue" => get_value(call, &input),
        "PutSecretValue" => put_value(call, &input),
        "DescribeSecret" => describe(call, &input),
        _ => Err(unknown_action()),
    }
}

fn create(call: &Call, input: &Input) -> Result<Value, Fault> {
    let name = &input.name;
    call.authorize("secretsmanager:CreateSecret", &secret_arn(name))?;
    let value = input.value()?;
    let token = input.token();
    call.messages.change(|state, moment| {
        let secrets = &mut state.secrets.secrets;
        if let Some(existing) = secrets.get(name) {
            // A retry with the same token and value is the same creation.
            let same = existing.versions.get(&token).is_some_and(|v| v.value == value);
            return if same { Ok(()) } else { Err(SecretError::Exists(name.clone())) };
        }
        let now_ms = moment.now_ms;
        let secret = Secret::new(input.description.clone(), now_ms).with(&token, value, now_ms);
        secrets.insert(name.clone(), secret);
        Ok(())
    })?;
    Ok(json!({ "ARN": secret_arn(name), "Name": name, "VersionId": token }))
}

fn put_value(call: &Call, input: &Input) -> Result<Value, Fault> {
    let name = name_for(call, input, "secretsmanager:PutSecretValue")?;
    let value = input.value()?;
    let token = input.token();
    let stages = input.version_stages.clone();
    let stages = stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    let stages = call.messages.change(|state, moment| {
        let secret = state.secrets.secrets.get_mut(&name);
        let secret = secret.ok_or(SecretError::NoSuchSecret)?;
        match secret.versions.get(&token) {
            Some(version) if version.value != value => return Err(SecretError::TokenReused),
            Some(_) => {}
            None => secret.put(&token, value, &stages, moment.now_ms),
        }
        Ok(json!(secret.stages_of(&token)))
    })?;
    Ok(json!({
        "ARN": secret_arn(&name), "Name": name, "VersionId": token, "VersionStages": stages,
    }))
}

fn get_value(call: &Call, input: &Input) -> Result<Value, Fault> {
    let name = name_for(call, input, "secretsmanager:GetSecretValue")?;
    call.messages.read(|state| {
        let secret = state.secrets.secrets.get(&name);
        let secret = secret.ok_or(SecretError::NoSuchSecret)?;
        let (id, version) =
            secret.version(input.version_id.as_deref(), input.version_stage.as_deref())?;
        let (member, value) = match &version.value {
            SecretValue::SecretString(text) => ("SecretString", text),
            SecretValue::SecretBinary(bytes) => ("SecretBinary", bytes),
        };
        Ok(json!({
            "ARN": secret_arn(&name),
            "Name": name,
            "VersionId": id,
            "VersionStages": secret.stages_of(id),
            "CreatedDate": epoch_seconds(version.created_ms),
            member: value,
        }))
    })
}

fn describe(call: &Call, input: &Input) -> Result<Value, Fault> {
    let name = name_for(call, input, "secretsmanager:DescribeSecret")?;
    call.messages.read(|state| {
        let secret = state.secrets.secrets.get(&name);
        let secret = secret.ok_or(SecretError::NoSuchSecret)?;
        let versions = secret.versions.keys();
        let stages: BTreeMap<_, _> = versions.map(|id| (id, secret.stages_of(id))).collect();
        Ok(json!({
            "ARN": secret_arn(&name),
            "Name": name,
            "Description": secret.description,
            "CreatedDate": epoch_seconds(secret.created_ms),
            "LastChangedDate": epoch_seconds(secret.changed_ms),
            "VersionIdsToStages": stages,
        }))
    })
}

/// The name behind a name, an ARN, or an ARN without its suffix, once IAM has allowed `action`.
fn name_for(call: &Call, input: &Input, action: &str) -> Result<String, Fault> {
    let id = &input.secret_id;
    let name = match arn::secret_name(id) {
        None => id,
        Some(rest) => rest
            .rsplit_once('-')
            .filter(|(name, suffix)| suffix_of(name) == *suffix)
            .map_or(rest, |(name, _)| name),
    };
    call.authorize(action, &secret_arn(name))?;
    Ok(name.to_owned())
}

fn secret_arn(name: &str) -> String {
    arn::of_secret(name, &suffix_of(name))
}

/// AWS draws these characters; here they follow from the name, so that ARNs stay the same when a
/// local cloud starts anew.
fn suffix_of(name: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    Sha256::digest(name.as_bytes())
        .iter()
        .take(SUFFIX_CHARS)
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|letter| char::from(*letter))
        .collect()
}
