//! The CRM port over HubSpot's contacts: upsert by our key or by e-mail, update by HubSpot's id, erase
//! and archive, the definitions that must be there first, and custom events.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rollcall_crm::finder::ContactFinder;
use rollcall_crm::limits::BATCH_INPUTS_MAX;
use rollcall_crm::milestone::Milestone;
use rollcall_crm::port::{
    Address, CallOutcome, Capabilities, Crm, DeleteKind, EventsKind, Input, KeyKind, LimitSignal,
    Owners, Reply, SchemaPart,
};
use rollcall_crm::portal::Quota;
use rollcall_crm::removal::RemovalKind;
use rollcall_crm::schema::{EventDefinition, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{self, Success};
use crate::http::Http;
use crate::settings::{Settings, SettingsError, Urls};
use crate::token::TokenSource;
use crate::wire::{
    AccountAnswer, BatchAnswer, ContactErase, ContactRead, EventAnswer, EventCreate, GroupAnswer,
    GroupCreate, Inputs,
};

/// HubSpot.
pub struct HubSpotCrm {
    pub(crate) http: Http,
    pub(crate) urls: Urls,
    key: KeyKind,
    events: EventsKind,
}

impl HubSpotCrm {
    /// Prepares the client; connects to nothing yet.
    pub fn new(settings: &Settings, tokens: Arc<dyn TokenSource>) -> Result<Self, SettingsError> {
        let http = Http::new(tokens)?;
        Ok(Self { http, urls: settings.urls()?, key: settings.key, events: EventsKind::Declared })
    }

    /// The same portal, but milestones are told by properties alone, whatever it has.
    #[must_use]
    pub fn by_properties_alone(self) -> Self {
        Self { events: EventsKind::None, ..self }
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        url: String,
        body: &(impl Serialize + Sync),
        trace_id: &str,
    ) -> Result<Success<T>, Box<Reply>> {
        self.http.post(&url, body, trace_id).await.success()
    }
}

#[async_trait]
impl Crm for HubSpotCrm {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batch_max: BATCH_INPUTS_MAX,
            key_kind: self.key,
            delete_kind: DeleteKind::Verified,
            events_kind: self.events,
            limit_signal: LimitSignal::Headers,
        }
    }

    async fn renew_credentials(&self) -> bool {
        self.http.renew_token().await
    }

    async fn write(&self, inputs: &[Input], trace_id: &str) -> Reply {
        let Some(first) = inputs.first() else {
            let outcome = CallOutcome::Answered(BTreeMap::new());
            return Reply { outcome, quota: Quota::default() };
        };
        let operation = match first.address {
            Address::UserId(_) | Address::Email(_) => "upsert",
            Address::ContactId(_) => "update",
        };
        let url = format!("{}/batch/{operation}", self.urls.objects);
        match self.call(url, &Inputs::contacts(inputs), trace_id).await {
            Ok(Success { body, quota }) => Reply { outcome: answer::written(inputs, &body), quota },
            Err(reply) => *reply,
        }
    }

    async fn declare(&self, schema: &Schema, part: SchemaPart, trace_id: &str) -> Reply {
        let declared = match part {
            SchemaPart::Group => self.declare_group(schema, trace_id).await,
            SchemaPart::Properties => self.declare_properties(schema, trace_id).await,
        };
        done_already(declared.unwrap_or_else(|reply| *reply))
    }

    async fn owners(&self, addresses: &[Address], trace_id: &str) -> Result<Owners, Reply> {
        let url = format!("{}/batch/read", self.urls.objects);
        let body = ContactRead::owners(addresses);
        match self.call::<BatchAnswer>(url, &body, trace_id).await {
            Ok(Success { body, quota }) => answer::owners(addresses, &body)
                .ok_or(Reply { outcome: CallOutcome::Unknown, quota }),
            Err(reply) => Err(*reply),
        }
    }

    async fn events_namespace(&self, trace_id: &str) -> Result<(String, Quota), Reply> {
        let exchange = self.http.get(&self.urls.account, trace_id).await;
        let Success { body, quota } =
            exchange.success::<AccountAnswer>().map_err(|reply| *reply)?;
        // "pe1234_joined": `pe` and the portal's id stand before every name.
        let namespace = body.portal_id.map(|id| format!("pe{id}_"));
        namespace.map(|name| (name, quota)).ok_or(Reply { outcome: CallOutcome::Unknown, quota })
    }

    async fn declare_event(&self, event: &EventDefinition, trace_id: &str) -> Reply {
        let url = format!("{}/event-definitions", self.urls.events);
        match self.call::<EventAnswer>(url, &EventCreate::new(event), trace_id).await {
            Ok(Success { body, quota }) => {
                let is_ours = body.fully_qualified_name.ends_with(event.name);
                let done = CallOutcome::Answered(BTreeMap::new());
                Reply { outcome: if is_ours { done } else { CallOutcome::Unknown }, quota }
            }
            Err(reply) => done_already(*reply),
        }
    }

    async fn tell(&self, namespace: &str, told: &[(Milestone, String)], trace_id: &str) -> Reply {
        let url = format!("{}/send/batch", self.urls.events);
        self.http.post(&url, &Inputs::events(namespace, told), trace_id).await.done()
    }

    async fn remove(&self, contact_id: &str, kind: RemovalKind, trace_id: &str) -> Reply {
        let exchange = match kind {
            RemovalKind::Erase => {
                let url = format!("{}/gdpr-delete", self.urls.objects);
                self.http.post(&url, &ContactErase::new(contact_id), trace_id).await
            }
            RemovalKind::Archive => {
                let url = format!("{}/batch/archive", self.urls.objects);
                self.http.post(&url, &Inputs::contact(contact_id), trace_id).await
            }
        };
        let mut reply = exchange.done();
        // Whoever asks looks afterwards whether the contact is gone, so this may believe it.
        if let CallOutcome::Refused(failure) = &reply.outcome
            && answer::is_missing(failure)
        {
            reply.outcome = CallOutcome::Answered(BTreeMap::new());
        }
        reply
    }
}

/// `reply` to a declaration of what may exist already.
fn done_already(mut reply: Reply) -> Reply {
    if let CallOutcome::Refused(failure) = &reply.outcome
        && answer::already_exists(failure)
    {
        reply.outcome = CallOutcome::Answered(BTreeMap::new());
    }
    reply
}

#[async_trait]
impl ContactFinder for HubSpotCrm {
    async fn renew_token(&self) -> bool {
        self.http.renew_token().await
    }

    async fn exists(&self, email: &str, trace_id: &str) -> Result<(bool, Quota), Reply> {
        let url = format!("{}/batch/read", self.urls.objects);
        let body = ContactRead::by_email(email);
        match self.call::<BatchAnswer>(url, &body, trace_id).await {
            Ok(Success { body, quota }) => answer::exists(&body)
                .map(|exists| (exists, quota))
                .ok_or(Reply { outcome: CallOutcome::Unknown, quota }),
            Err(reply) => Err(*reply),
        }
    }
}

impl HubSpotCrm {
    async fn declare_group(&self, schema: &Schema, trace_id: &str) -> Result<Reply, Box<Reply>> {
        let url = format!("{}/groups", self.urls.properties);
        let body = GroupCreate::new(schema);
        let Success { body, quota } = self.call::<GroupAnswer>(url, &body, trace_id).await?;
        let outcome = if body.name == schema.group {
            CallOutcome::Answered(BTreeMap::new())
        } else {
            CallOutcome::Unknown
        };
        Ok(Reply { outcome, quota })
    }

    async fn declare_properties(
        &self,
        schema: &Schema,
        trace_id: &str,
    ) -> Result<Reply, Box<Reply>> {
        let url = format!("{}/batch/create", self.urls.properties);
        let properties = Inputs::properties(schema, self.key);
        let Success { body, quota } = self.call(url, &properties, trace_id).await?;
        Ok(Reply { outcome: answer::properties_declared(properties.len(), &body), quota })
    }
}

#[cfg(test)]
mod tests;
