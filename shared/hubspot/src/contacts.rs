//! Contacts: the port's methods as HubSpot's batch calls.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rollcall_crm::classifier::Failure;
use rollcall_crm::port::{Address, CallOutcome, Crm, Input, KeyKind, PortError, Reply, SchemaPart};
use rollcall_crm::portal::Quota;
use rollcall_crm::schema::{EMAIL, Schema, USER_ID};
use rollcall_domain::secret::Secret;
use tokio::sync::Mutex;

use crate::http::{Answer, Http};
use crate::settings::{Settings, SettingsError};
use crate::wire::{
    BatchAnswer, BatchRead, BatchWrite, GroupCreate, PropertiesCreate, ReadInput, WriteInput,
};

/// How long the token may take: what a call may take is bounded by a lease, token included.
const TOKEN_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Category of what is there already.
const ALREADY_EXISTS: &str = "OBJECT_ALREADY_EXISTS";

/// Where the token for the API comes from.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The newest token there is.
    async fn token(&self) -> Result<Secret, PortError>;
}

/// A portal.
pub struct HubSpot {
    http: Http,
    tokens: Box<dyn TokenSource>,
    token: Mutex<Option<Secret>>,
}

impl HubSpot {
    /// Prepares the client; connects to nothing yet.
    pub fn new(settings: Settings, tokens: Box<dyn TokenSource>) -> Result<Self, SettingsError> {
        Ok(Self {
            http: Http::new(settings)?,
            tokens,
            token: Mutex::default(),
        })
    }

    async fn token(&self) -> Option<Secret> {
        let mut token = self.token.lock().await;
        if token.is_none() {
            let read = tokio::time::timeout(TOKEN_TIMEOUT, self.tokens.token()).await;
            *token = read.ok().and_then(Result::ok);
        }
        token.clone()
    }

    async fn post(
        &self,
        path: &str,
        trace_id: &str,
        body: &(impl serde::Serialize + Sync),
    ) -> (Answer, Quota) {
        match self.token().await {
            None => (Answer::NotSent, Quota::default()),
            Some(token) => self.http.post(path, &token, trace_id, body).await,
        }
    }
}

/// The outcome of an answer without a use for its body.
fn outcome(answer: Answer) -> Result<Vec<u8>, CallOutcome> {
    match answer {
        Answer::Success(body) => Ok(body),
        Answer::Refused(failure) => Err(CallOutcome::Refused(failure)),
        Answer::NotSent => Err(CallOutcome::NotSent),
        Answer::Unknown => Err(CallOutcome::Unknown),
    }
}

fn batch(answer: Answer) -> Result<BatchAnswer, CallOutcome> {
    let body = outcome(answer)?;
    serde_json::from_slice(&body).map_err(|_unreadable| CallOutcome::Unknown)
}

#[async_trait]
impl Crm for HubSpot {
    fn key(&self) -> KeyKind {
        self.http.settings().key
    }

    async fn renew_credentials(&self) -> bool {
        let Ok(Ok(new)) = tokio::time::timeout(TOKEN_TIMEOUT, self.tokens.token()).await else {
            return false;
        };
        let mut token = self.token.lock().await;
        let changed = !token
            .as_ref()
            .is_some_and(|token| token.matches(new.expose()));
        *token = Some(new);
        changed
    }

    async fn write(&self, inputs: &[Input], trace_id: &str) -> Reply {
        let by_id = matches!(
            inputs.first(),
            Some(Input {
                address: Address::ContactId(_),
                ..
            })
        );
        let operation = if by_id { "update" } else { "upsert" };
        let body = BatchWrite {
            inputs: inputs.iter().map(write_input).collect(),
        };
        let path = self.http.settings().api.contacts(operation);
        let (answer, quota) = self.post(&path, trace_id, &body).await;
        let outcome = match batch(answer) {
            Ok(answer) => CallOutcome::Answered(answer.into_results(inputs)),
            Err(outcome) => outcome,
        };
        Reply { outcome, quota }
    }

    async fn declare(&self, schema: &Schema, part: SchemaPart, trace_id: &str) -> Reply {
        let api = self.http.settings().api;
        let (answer, quota) = match part {
            SchemaPart::Group => {
                let body = GroupCreate {
                    name: schema.group,
                    label: schema.group_label,
                };
                self.post(&api.properties("groups"), trace_id, &body).await
            }
            SchemaPart::Properties => {
                let body = PropertiesCreate::new(schema, self.key() == KeyKind::UserId);
                self.post(&api.properties("batch/create"), trace_id, &body)
                    .await
            }
        };
        let outcome = match answer {
            Answer::Refused(Failure { status: 409, .. }) => Ok(()),
            answer => batch(answer).and_then(declared),
        };
        let outcome = match outcome {
            Ok(()) => CallOutcome::Answered(BTreeMap::new()),
            Err(outcome) => outcome,
        };
        Reply { outcome, quota }
    }

    async fn owners(
        &self,
        contact_ids: &[String],
        trace_id: &str,
    ) -> Result<BTreeMap<String, Option<String>>, Reply> {
        let body = BatchRead {
            inputs: contact_ids.iter().map(|id| ReadInput { id }).collect(),
            properties: [USER_ID],
            properties_with_history: [],
        };
        let path = self.http.settings().api.contacts("read");
        let (answer, quota) = self.post(&path, trace_id, &body).await;
        let answer = batch(answer).map_err(|outcome| Reply { outcome, quota })?;
        let owner = |mut record: crate::wire::Record| {
            let owner = record.properties.remove(USER_ID).flatten();
            (record.id, owner.filter(|owner| !owner.is_empty()))
        };
        Ok(answer.results.into_iter().map(owner).collect())
    }
}

fn write_input(input: &Input) -> WriteInput<'_> {
    let (id, id_property) = match &input.address {
        Address::UserId(user) => (user.as_str(), Some(USER_ID)),
        Address::Email(email) => (email.as_str(), Some(EMAIL)),
        Address::ContactId(contact) => (contact.as_str(), None),
    };
    WriteInput {
        id,
        id_property,
        properties: &input.properties,
        object_write_trace_id: input.user.as_str(),
    }
}

/// Properties that were there already are as good as created.
fn declared(answer: BatchAnswer) -> Result<(), CallOutcome> {
    let mut errors = answer.errors.into_iter();
    match errors.find(|error| error.category.as_deref() != Some(ALREADY_EXISTS)) {
        None => Ok(()),
        Some(error) => Err(CallOutcome::Refused(Failure {
            status: 400,
            ..error.into_failure()
        })),
    }
}
