//! Secrets Manager: reading secrets, with a cache that notices a rotation within five minutes and
//! keeps serving the value it has when Secrets Manager does not answer.

use std::fmt::Debug;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jiff::{SignedDuration, Timestamp};
use rollcall_aws::{Connection, Service};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::secret::Secret;
use rollcall_resources::SecretName;
use tokio::sync::Mutex;

/// How long a value is used without asking again, in seconds.
pub const CACHE_SECONDS: i64 = 300;

/// Reads one secret.
#[derive(Debug)]
pub struct SecretReader {
    client: Client,
    name: String,
    cache: Mutex<Option<Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    value: Secret,
    read_at: Timestamp,
}

impl SecretReader {
    /// Prepares the client; connects to nothing yet.
    pub fn new(connection: &Connection, stage: &str, secret: SecretName) -> Self {
        let client = Client::new(&connection.config(Service::SecretsManager));
        Self { client, name: secret.full_name(stage), cache: Mutex::default() }
    }

    /// The secret's current value, at most [`CACHE_SECONDS`] old while Secrets Manager answers.
    pub async fn read(&self, now: Timestamp) -> Result<Secret, PortError> {
        let mut cache = self.cache.lock().await;
        if let Some(cached) = cache.as_ref()
            && now.duration_since(cached.read_at) < SignedDuration::from_secs(CACHE_SECONDS)
        {
            return Ok(cached.value.clone());
        }
        match (self.fetch().await, cache.as_ref()) {
            (Ok(value), _) => {
                *cache = Some(Cached { value: value.clone(), read_at: now });
                Ok(value)
            }
            (Err(error), Some(cached)) if error.class != PortErrorClass::Rejected => {
                Ok(cached.value.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Secret, PortError> {
        let answer = self.client.get_secret_value().secret_id(&self.name).send().await;
        let answer = answer.map_err(failed)?;
        answer.secret_string.map(Secret::new).ok_or_else(|| {
            PortError::new("read a secret", PortErrorClass::Corrupt, "a secret without a text")
        })
    }
}

fn failed<E, R>(error: SdkError<E, R>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    let class = match &error {
        SdkError::ServiceError(service) => match service.err().code().unwrap_or("") {
            "ThrottlingException" => PortErrorClass::Throttled,
            "InternalServiceError" => PortErrorClass::Unavailable,
            _ => PortErrorClass::Rejected,
        },
        SdkError::ConstructionFailure(_) => PortErrorClass::Rejected,
        _ => PortErrorClass::Unavailable,
    };
    PortError::new("read a secret", class, error)
}
