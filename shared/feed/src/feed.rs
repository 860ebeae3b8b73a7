//! The CRM port over messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rollcall_crm::classifier::Failure;
use rollcall_crm::limits::BATCH_INPUTS_MAX;
use rollcall_crm::milestone::Milestone;
use rollcall_crm::port::{
    Address, CallOutcome, Capabilities, Crm, DeleteKind, EventsKind, Input, ItemResult, KeyKind,
    LimitSignal, Owners, Reply, SchemaPart,
};
use rollcall_crm::portal::Quota;
use rollcall_crm::removal::RemovalKind;
use rollcall_crm::schema::{EventDefinition, Schema};
use rollcall_domain::time::{Clock, Timestamp};

use crate::message::Message;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The other side has it.
    Taken,
    /// The other side refused it.
    Refused(Failure),
    /// It never left us.
    NotSent,
    /// It left us, and nobody knows whether the other side has it.
    Unknown,
}

/// A way to deliver messages.
#[async_trait]
pub trait Transport: Send + Sync {
    /// How the other side says that it is asked too much of.
    const LIMIT_SIGNAL: LimitSignal;

    /// Delivers one message; returns within [`rollcall_crm::limits::CALL_SECONDS_MAX`].
    async fn deliver(&self, body: Vec<u8>, at: Timestamp, trace_id: &str) -> Delivery;
}

/// Another system, as the CRM that the sync speaks to.
pub struct Feed<T> {
    transport: T,
    clock: Arc<dyn Clock>,
}

impl<T: Transport> Feed<T> {
    /// The system at the other end of `transport`.
    pub fn new(transport: T, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    async fn deliver(
        &self,
        message: impl FnOnce(Timestamp) -> Result<Vec<u8>, serde_json::Error> + Send,
        trace_id: &str,
    ) -> Reply {
        let at = self.clock.now();
        let outcome = match message(at) {
            Ok(body) => self.transport.deliver(body, at, trace_id).await.into(),
            // A map of texts can always be written; if not, nothing left us.
            Err(_unwritable) => CallOutcome::NotSent,
        };
        Reply { outcome, quota: Quota::default() }
    }
}

impl From<Delivery> for CallOutcome {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Taken => Self::Answered(BTreeMap::new()),
            Delivery::Refused(failure) => Self::Refused(failure),
            Delivery::NotSent => Self::NotSent,
            Delivery::Unknown => Self::Unknown,
        }
    }
}

fn done() -> Reply {
    Reply { outcome: CallOutcome::Answered(BTreeMap::new()), quota: Quota::default() }
}

#[async_trait]
impl<T: Transport> Crm for Feed<T> {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batch_max: BATCH_INPUTS_MAX,
            key_kind: KeyKind::UserId,
            delete_kind: DeleteKind::Told,
            events_kind: EventsKind::Direct,
            limit_signal: T::LIMIT_SIGNAL,
        }
    }

    /// Keys are read for every message.
    async fn renew_credentials(&self) -> bool {
        false
    }

    /// Taken or refused as a whole; a contact's id there is our user's.
    async fn write(&self, inputs: &[Input], trace_id: &str) -> Reply {
        let message = |at| serde_json::to_vec(&Message::contacts(inputs, at));
        let mut reply = self.deliver(message, trace_id).await;
        if let CallOutcome::Answered(results) = &mut reply.outcome {
            results.extend(inputs.iter().map(|input| {
                let contact_id = input.user.to_string();
                (input.user.to_string(), ItemResult::Written { contact_id })
            }));
        }
        reply
    }

    /// Whoever reads messages needs no schema.
    async fn declare(&self, _schema: &Schema, _part: SchemaPart, _trace_id: &str) -> Reply {
        done()
    }

    /// Nobody can be looked up.
    async fn owners(&self, _addresses: &[Address], _trace_id: &str) -> Result<Owners, Reply> {
        Ok(Owners::default())
    }

    async fn events_namespace(&self, _trace_id: &str) -> Result<(String, Quota), Reply> {
        Ok((String::new(), Quota::default()))
    }

    async fn declare_event(&self, _event: &EventDefinition, _trace_id: &str) -> Reply {
        done()
    }

    async fn tell(&self, _namespace: &str, told: &[(Milestone, String)], trace_id: &str) -> Reply {
        self.deliver(|at| serde_json::to_vec(&Message::milestones(told, at)), trace_id).await
    }

    async fn remove(&self, contact_id: &str, kind: RemovalKind, trace_id: &str) -> Reply {
        self.deliver(|at| serde_json::to_vec(&Message::removed(contact_id, kind, at)), trace_id)
            .await
    }
}
