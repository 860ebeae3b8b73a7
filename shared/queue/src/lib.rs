//! SQS: sending messages. Receiving is Lambda's work.

use std::collections::HashMap;
use std::fmt::Debug;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageAttributeValue;
use rollcall_aws::{Connection, Service};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_resources::Queue;
use tokio::sync::OnceCell;

/// The longest delay SQS knows, in seconds.
pub const DELAY_SECONDS_MAX: u32 = 900;

/// Sends messages to one queue.
#[derive(Debug)]
pub struct QueueSender {
    client: Client,
    name: String,
    url: OnceCell<String>,
}

impl QueueSender {
    /// Prepares the client; connects to nothing yet.
    pub fn new(connection: &Connection, stage: &str, queue: Queue) -> Self {
        let client = Client::new(&connection.config(Service::Sqs));
        Self { client, name: queue.full_name(stage), url: OnceCell::new() }
    }

    /// Sends one message that becomes visible after `delay_seconds`.
    pub async fn send(&self, body: String, delay_seconds: u32) -> Result<(), PortError> {
        self.send_with(body, delay_seconds, None).await
    }

    /// Sends one message with an attribute, a text by its name.
    pub async fn send_marked(
        &self,
        body: String,
        (name, value): (&str, &str),
    ) -> Result<(), PortError> {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value);
        let value = value
            .build()
            .map_err(|error| PortError::new("send a message", PortErrorClass::Rejected, error))?;
        self.send_with(body, 0, Some(HashMap::from([(name.to_owned(), value)]))).await
    }

    async fn send_with(
        &self,
        body: String,
        delay_seconds: u32,
        attributes: Option<HashMap<String, MessageAttributeValue>>,
    ) -> Result<(), PortError> {
        let delay = i32::try_from(delay_seconds.min(DELAY_SECONDS_MAX)).unwrap_or(0);
        self.client
            .send_message()
            .queue_url(self.url().await?)
            .message_body(body)
            .set_message_attributes(attributes)
            .delay_seconds(delay)
            .send()
            .await
            .map_err(failed("send a message"))?;
        Ok(())
    }

    async fn url(&self) -> Result<&str, PortError> {
        let look_up = || async {
            let answer = self.client.get_queue_url().queue_name(&self.name).send().await;
            let answer = answer.map_err(failed("find a queue"))?;
            answer.queue_url.ok_or_else(|| {
                PortError::new("find a queue", PortErrorClass::Corrupt, "an answer without a URL")
            })
        };
        self.url.get_or_try_init(look_up).await.map(String::as_str)
    }
}

fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    move |error| {
        let class = match &error {
            SdkError::ServiceError(service) => match service.err().code().unwrap_or("") {
                "RequestThrottled" | "ThrottlingException" => PortErrorClass::Throttled,
                "InternalError" | "ServiceUnavailable" => PortErrorClass::Unavailable,
                _ => PortErrorClass::Rejected,
            },
            SdkError::ConstructionFailure(_) => PortErrorClass::Rejected,
            _ => PortErrorClass::Unavailable,
        };
        PortError::new(operation, class, error)
    }
}
