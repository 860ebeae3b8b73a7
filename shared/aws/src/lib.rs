//! How Rollcall reaches AWS: one HTTP client, one TLS stack, explicit time-outs.
//!
//! The SDK's own defaults search profiles and instance metadata, scan the system's root store and
//! assume a long-lived server. A Lambda gets everything from its environment, talks to Amazon only,
//! and must give up before its own time-out (docs/decisions/0003-cold-start.md).

use std::sync::LazyLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// The roots that sign every AWS endpoint, as Amazon Trust Services publishes them.
static AMAZON_ROOTS: &[u8] = include_bytes!("../roots/amazon.pem");

/// Reaching an AWS endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One attempt of a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// A call with all its attempts; shorter than any function's time-out.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts of a call.
const ATTEMPTS_MAX: u32 = 4;

/// The AWS services in use; each has an adapter crate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// DynamoDB Streams.
    DynamoDbStreams,
    /// SQS.
    Sqs,
    /// Secrets Manager.
    SecretsManager,
    /// SES, version 2 of its API.
    Email,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] =
        [Self::DynamoDb, Self::DynamoDbStreams, Self::Sqs, Self::SecretsManager, Self::Email];

    /// The variable by which AWS SDKs take another endpoint for the service.
    pub const fn endpoint_variable(self) -> &'static str {
        match self {
            Self::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
            Self::DynamoDbStreams => "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
            Self::Sqs => "AWS_ENDPOINT_URL_SQS",
            Self::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Self::Email => "AWS_ENDPOINT_URL_SESV2",
        }
    }
}

/// What Lambda puts into a function's environment. No `Debug`: it holds credentials.
#[derive(Clone)]
pub struct Environment {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// Endpoints other than AWS's own, as on a laptop.
    pub endpoints: Vec<(Service, String)>,
}

/// What every client of this process shares.
pub struct Connection {
    config: SdkConfig,
    endpoints: Vec<(Service, String)>,
}

impl Connection {
    /// Prepares clients; connects to nothing yet.
    pub fn new(environment: Environment) -> Self {
        let credentials = Credentials::new(
            environment.access_key_id,
            environment.secret_access_key,
            environment.session_token,
            None,
            "environment",
        );
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = SdkConfig::builder()
            .behavior_version(
                aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::latest(),
            )
            .region(Region::new(environment.region))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                credentials,
            ))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .sleep_impl(TokioSleep::new())
            .http_client(http_client(&environment.endpoints))
            .build();
        Self { config, endpoints: environment.endpoints }
    }

    /// The configuration of one service's client.
    pub fn config(&self, service: Service) -> SdkConfig {
        let endpoint = self.endpoints.iter().find(|(other, _)| *other == service);
        match endpoint {
            Some((_, url)) => self.config.clone().into_builder().endpoint_url(url).build(),
            None => self.config.clone(),
        }
    }
}

fn http_client(
    endpoints: &[(Service, String)],
) -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    let plain = !endpoints.is_empty() && endpoints.iter().all(|(_, url)| url.starts_with("http:"));
    if plain {
        return builder.build_http();
    }
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let builder = builder.tls_provider(provider);
    match AMAZON_ONLY.as_ref() {
        Some(context) => builder.tls_context(context.clone()).build_https(),
        None => builder.build_https(),
    }
}

/// Trust in Amazon's roots and in no others. The certificates are compiled in and a test parses
/// them, so `None`, which falls back to the system's roots, does not occur.
static AMAZON_ONLY: LazyLock<Option<TlsContext>> = LazyLock::new(|| {
    let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    TlsContext::builder().with_trust_store(roots).build().ok()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(endpoints: Vec<(Service, String)>) -> Connection {
        Connection::new(Environment {
            region: "eu-west-1".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            endpoints,
        })
    }

    #[test]
    fn amazon_roots_are_usable() {
        assert!(AMAZON_ONLY.is_some());
    }

    #[test]
    fn an_endpoint_of_ones_own_concerns_its_service_only() {
        let url = "http://localhost:9003".to_owned();
        let connection = connection(vec![(Service::DynamoDb, url.clone())]);
        assert_eq!(connection.config(Service::DynamoDb).endpoint_url(), Some(url.as_str()));
        assert_eq!(connection.config(Service::Sqs).endpoint_url(), None);
    }
}
