//! A running local cloud: its parts, its addresses, its end.

use std::collections::BTreeMap;

use rollcall_local_dynamodb::DynamoDb;
use rollcall_local_hubspot::HubSpot;
use rollcall_local_kit::{Iam, LocalClock, Shutdown};
use rollcall_local_lambda::{Lambda, LogSink, Schedules};
use rollcall_local_mail::Mail;
use rollcall_local_messages::Messages;
use rollcall_local_provider::Provider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The stage that a local cloud plays.
pub const STAGE: &str = "dev";
/// The region that a local cloud plays.
pub const REGION: &str = "us-east-1";
/// The account that a local cloud plays.
pub const ACCOUNT: &str = "000000000000";

/// Where the parts listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The HTTP API.
    pub api: u16,
    /// The identity provider.
    pub provider: u16,
    /// HubSpot.
    pub hubspot: u16,
    /// DynamoDB and its streams.
    pub dynamodb: u16,
    /// SQS, Secrets Manager and Parameter Store.
    pub messages: u16,
    /// SES and the mailbox.
    pub mail: u16,
}

impl Addresses {
    /// `http://localhost:{port}`.
    pub fn url(port: u16) -> String {
        format!("http://localhost:{port}")
    }
}

/// A running local cloud.
pub struct Cloud {
    /// Where the parts listen.
    pub addresses: Addresses,
    /// The clock of all parts.
    pub clock: LocalClock,
    /// Who may do what, and who did.
    pub iam: Iam,
    /// DynamoDB.
    pub dynamodb: DynamoDb,
    /// SQS, Secrets Manager and Parameter Store.
    pub messages: Messages,
    /// SES and the mailbox.
    pub mail: Mail,
    /// The functions.
    pub lambda: Lambda,
    /// What the functions wrote.
    pub logs: LogSink,
    /// The identity provider.
    pub provider: Provider,
    /// HubSpot.
    pub hubspot: HubSpot,
    /// The schedules.
    pub schedules: Schedules,
    pub(crate) shutdown: Shutdown,
}

impl Cloud {
    /// Whether every part answers over HTTP, the API through a function of its own.
    pub async fn answers(&self, health_path: &str) -> bool {
        let Addresses { api, provider, hubspot, dynamodb, messages, mail } = self.addresses;
        let discovery = "/us-east-1_rollcall/.well-known/openid-configuration";
        status(api, health_path).await == Some(200)
            && status(provider, discovery).await == Some(200)
            && status(hubspot, "/_emulator/calls").await == Some(200)
            && status(dynamodb, "/").await.is_some()
            && status(messages, "/").await.is_some()
            && status(mail, "/").await == Some(200)
    }

    /// Every part with its address, for people.
    pub fn places(&self) -> BTreeMap<u16, &'static str> {
        let Addresses { api, provider, hubspot, dynamodb, messages, mail } = self.addresses;
        BTreeMap::from([
            (api, "API"),
            (provider, "identity provider"),
            (hubspot, "HubSpot"),
            (dynamodb, "DynamoDB and streams"),
            (messages, "SQS, Secrets Manager, Parameter Store"),
            (mail, "SES and the mailbox"),
        ])
    }

    /// Ends every process and saves what survives a restart.
    pub async fn stop(self) {
        self.lambda.stop().await;
        self.shutdown.begin();
        if let Err(error) = self.messages.flush() {
            tracing::error!(%error, "failed to save the queues");
        }
        if let Err(error) = self.hubspot.flush().await {
            tracing::error!(%error, "failed to save HubSpot");
        }
    }
}

/// The status of `GET path`; `None` when nobody answers.
async fn status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}
