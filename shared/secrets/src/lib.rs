//! Secrets Manager: reading secrets, with a cache that notices a rotation within five minutes and
//! keeps serving the value it has when Secrets Manager does not answer.
//!
//! A key of our own is read with the one before (stage `AWSPREVIOUS`), so that what was signed under
//! it stays good for its grace (`rollcall_domain::rotation`).
//!
//! The smallest example is `shared/edge/src/session.rs`:
//!
//! ```text
//! csrf_key: startup.secret(SecretName::CsrfKey)?,
//! let check = |key: &Secret| session.accepts_csrf_token(key, token).then_some(());
//! let checked = self.csrf_key.verify(context.now, check).await;
//! ```

use std::fmt::Debug;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use jiff::{SignedDuration, Timestamp};
use rollcall_aws::{Connection, Service};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::rotation::{Keys, OVERLAP_SECONDS};
use rollcall_domain::secret::Secret;
use rollcall_resources::SecretName;
use tokio::sync::{Mutex, MutexGuard};

/// How long a value is used without asking again, in seconds: half the overlap of a rotation, so
/// that everybody knows a new key before anybody signs with it.
pub const CACHE_SECONDS: i64 = OVERLAP_SECONDS / 2;
/// How long a value that could not be read anew is used before asking again, in seconds.
const RETRY_SECONDS: i64 = 15;
/// How often a check that fails may ask for the value again, in seconds: often enough that nobody
/// waits for a rotation, and too rarely for anybody who guesses to be a load on Secrets Manager.
const RECHECK_SECONDS: i64 = 5;

/// The stage of the value before the current one.
const PREVIOUS: &str = "AWSPREVIOUS";

/// Reads one secret.
#[derive(Debug)]
pub struct SecretReader {
    client: Client,
    name: String,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    known: Option<Known>,
    /// When the value is asked for again.
    due_at: Timestamp,
    /// When a failed check may ask for it again.
    recheck_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Known {
    value: Secret,
    made_at: Timestamp,
    previous: Previous,
}

/// The value before the current one.
#[derive(Clone, Debug)]
enum Previous {
    /// Nobody has asked for it.
    Unasked,
    /// There is none, or its grace is over.
    Gone,
    /// What was signed under it is good.
    Good(Secret),
}

impl Known {
    fn keys(&self) -> Keys {
        let previous = match &self.previous {
            Previous::Unasked | Previous::Gone => None,
            Previous::Good(secret) => Some(secret.clone()),
        };
        Keys::new(self.value.clone(), previous, self.made_at)
    }
}

/// Which values are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// The current one.
    Current,
    /// The current one and, in its grace, the one before.
    Both,
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
        self.known(&mut cache, Wanted::Current, now).await.map(|known| known.value)
    }

    /// The secret as keys to sign with, at most [`CACHE_SECONDS`] old while Secrets Manager answers.
    pub async fn keys(&self, now: Timestamp) -> Result<Keys, PortError> {
        let mut cache = self.cache.lock().await;
        self.known(&mut cache, Wanted::Both, now).await.map(|known| known.keys())
    }

    /// What `check` finds under one of the accepted keys; `None` when none is right. Before it gives
    /// up it asks Secrets Manager whether there is a newer key, every few seconds at most.
    pub async fn verify<T>(
        &self,
        now: Timestamp,
        check: impl Fn(&Secret) -> Option<T>,
    ) -> Result<Option<T>, PortError> {
        let keys = self.keys(now).await?;
        if let Some(found) = keys.accepted(now).find_map(&check) {
            return Ok(Some(found));
        }
        let mut cache = self.cache.lock().await;
        if now >= cache.recheck_at {
            cache.recheck_at = after(now, RECHECK_SECONDS);
            cache.due_at = now;
        }
        // Looked at again in any case: another request may have learned of a newer key meanwhile.
        let known = self.known(&mut cache, Wanted::Both, now).await?;
        Ok(known.keys().accepted(now).find_map(&check))
    }

    async fn known(
        &self,
        cache: &mut MutexGuard<'_, Cache>,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Known, PortError> {
        if let Some(known) = &cache.known
            && now < cache.due_at
            && (wanted == Wanted::Current || !matches!(known.previous, Previous::Unasked))
        {
            return Ok(known.clone());
        }
        match (self.fetch(wanted, now).await, &cache.known) {
            (Ok(known), _) => {
                cache.known = Some(known.clone());
                cache.due_at = after(now, CACHE_SECONDS);
                Ok(known)
            }
            (Err(error), Some(known)) if error.class != PortErrorClass::Rejected => {
                let known = known.clone();
                cache.due_at = after(now, RETRY_SECONDS);
                Ok(known)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn fetch(&self, wanted: Wanted, now: Timestamp) -> Result<Known, PortError> {
        let answer = self.client.get_secret_value().secret_id(&self.name).send().await;
        let answer = answer.map_err(failed)?;
        let made_at = answer.created_date.and_then(|at| at.to_millis().ok());
        let made_at = made_at.and_then(|at| Timestamp::from_millisecond(at).ok());
        // A secret of unknown age is taken for an old one: it signs at once.
        let made_at = made_at.unwrap_or(Timestamp::MIN);
        let value = text_of(answer)?;
        let previous = match wanted {
            Wanted::Current => Previous::Unasked,
            Wanted::Both if !Keys::needs_previous(made_at, now) => Previous::Gone,
            Wanted::Both => self.fetch_previous().await?,
        };
        Ok(Known { value, made_at, previous })
    }

    async fn fetch_previous(&self) -> Result<Previous, PortError> {
        let call = self.client.get_secret_value().secret_id(&self.name).version_stage(PREVIOUS);
        match call.send().await {
            Ok(answer) => text_of(answer).map(Previous::Good),
            Err(SdkError::ServiceError(refused))
                if refused.err().is_resource_not_found_exception() =>
            {
                Ok(Previous::Gone)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn text_of(answer: GetSecretValueOutput) -> Result<Secret, PortError> {
    answer.secret_string.map(Secret::new).ok_or_else(|| {
        PortError::new("read a secret", PortErrorClass::Corrupt, "a secret without a text")
    })
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
