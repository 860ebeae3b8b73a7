//! The sample data of a local cloud: users, a catalogue, and the settings that tie the parts together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollcall_aws::{Connection, Environment, Service};
use rollcall_content::FileFault;
use rollcall_domain::catalog::Edition;
use rollcall_domain::time::Clock;
use rollcall_edge::bearer;
use rollcall_functions_crm::settings as crm;
use rollcall_functions_identity::settings as identity;
use rollcall_functions_learning::settings as learning;
use rollcall_functions_learning::settings::LAB_VALIDATOR;
use rollcall_functions_ops::canary::CANARY_URL;
use rollcall_local::kit::LocalClock;
use rollcall_local::kit::iam::OPERATOR_ACCESS_KEY_ID;
use rollcall_local::provider::{Client, Profile, User};
use rollcall_local::{Addresses, Cloud, Options, PortChoice, hubspot, provider};
use rollcall_resources::SecretName;
use rollcall_runtime::Setting;
use rollcall_runtime::settings::{RATE_LIMIT_FACTOR, STAGE};
use rollcall_runtime::system::SystemClock;
use rollcall_store::catalog::CatalogPublisher;
use rollcall_store::{Capability, PortError, Tables};

use crate::catalogue;

/// The bearer token of the local HubSpot.
pub const HUBSPOT_TOKEN: &str = "local-service-key";

/// The client secret of our app at the local HubSpot.
pub const HUBSPOT_CLIENT_SECRET: &str = "a-hubspot-client-secret-for-local-use-only";

/// The id of our app at the local HubSpot.
pub const HUBSPOT_APP_ID: u64 = 9_393_361;

/// The key that signs cursors in the local cloud.
pub const CURSOR_KEY: &str = "a-cursor-key-for-local-use-only";

/// The key under which tokens are stored in the local cloud.
pub const TOKEN_KEY: &str = "a-key-for-tokens-at-rest-for-local-use-only";

/// The key that signs certificates in the local cloud.
pub const CERTIFICATE_KEY: &str = "a-certificate-key-for-local-use-only";

/// The key that signs what goes to another system than HubSpot.
pub const FEED_KEY: &str = "a-feed-key-for-local-use-only";

/// The key that signs what the validator of labs is asked.
pub const LAB_VALIDATOR_KEY: &str = "a-lab-validator-key-for-local-use-only";

/// Our client at the local provider.
pub const CLIENT_ID: &str = "rollcall-web";

/// The client's secret, where it has one.
pub const CLIENT_SECRET: &str = "a-client-secret-for-local-use-only";

static USERS: &str = include_str!("../../sample/users.json");

/// Why the sample data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A file of sample data is not what it must be.
    #[error("sample/{file} is not valid")]
    File {
        /// Its name.
        file: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The catalogue has faults.
    #[error("the catalogue has faults: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Catalog(Vec<FileFault>),
    /// The catalogue could not be stored.
    #[error("the catalogue could not be published")]
    Publish(#[from] PortError),
}

/// The sample users; their passwords stand in the file and in the README.
pub fn users() -> Result<Vec<User>, SampleError> {
    serde_json::from_str(USERS).map_err(|source| SampleError::File { file: "users.json", source })
}

/// The folder of the sample catalogue, in the project this program was built in.
pub fn catalog_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../catalog"))
}

/// The sample catalogue.
pub fn edition() -> Result<Edition, SampleError> {
    let files = rollcall_content::read(catalog_folder()).map_err(SampleError::Catalog)?;
    rollcall_content::parse(&files).map_err(SampleError::Catalog)
}

/// A local cloud of every function, with `users` to sign in as.
pub fn options(
    folder: Option<PathBuf>,
    ports: PortChoice,
    program: PathBuf,
    users: Vec<User>,
) -> Options {
    Options {
        folder,
        ports,
        functions: catalogue::functions(),
        program: (program, vec!["function".to_owned()]),
        settings: Box::new(settings),
        secrets: vec![
            (SecretName::CsrfKey, "a-csrf-key-for-local-use-only".to_owned()),
            (SecretName::CursorKey, CURSOR_KEY.to_owned()),
            (SecretName::OidcClientSecret, CLIENT_SECRET.to_owned()),
            (SecretName::HubSpotToken, HUBSPOT_TOKEN.to_owned()),
            (SecretName::HubSpotClientSecret, HUBSPOT_CLIENT_SECRET.to_owned()),
            (SecretName::FeedKey, FEED_KEY.to_owned()),
            (SecretName::CertificateKey, CERTIFICATE_KEY.to_owned()),
            (SecretName::LabValidatorKey, LAB_VALIDATOR_KEY.to_owned()),
            (SecretName::TokenKey, TOKEN_KEY.to_owned()),
        ],
        provider: Box::new(move |addresses, folder, clock| {
            provider_options(addresses, folder, clock, users.clone())
        }),
        hubspot: (
            vec![hubspot::Token { value: HUBSPOT_TOKEN.to_owned(), scopes: hubspot::Scopes::All }],
            hubspot::Settings::default(),
        ),
        hubspot_webhooks: |addresses| hubspot::Subscription {
            url: webhook_url(addresses),
            app_id: HUBSPOT_APP_ID,
            client_secret: HUBSPOT_CLIENT_SECRET.to_owned(),
        },
        mail_domains: vec![MAIL_DOMAIN.to_owned()],
        origins,
    }
}

/// Gives a setting of a local cloud another value.
pub fn set(options: &mut Options, setting: &'static Setting, value: &str) {
    let value = value.to_owned();
    let before = std::mem::replace(&mut options.settings, Box::new(settings));
    options.settings = Box::new(move |addresses| {
        let mut settings = before(addresses);
        settings.insert(setting.name, value.clone());
        settings
    });
}

/// Multiplies the rate limits of a local cloud, for tests in which one machine is hundreds of people.
pub fn widen_rate_limits(options: &mut Options) {
    set(options, &RATE_LIMIT_FACTOR, "1000");
}

/// Makes the client of a local cloud authenticate with a secret, as in staging and prod.
pub fn authenticate_client(options: &mut Options) {
    set(options, &identity::OIDC_CLIENT_AUTHENTICATION, "secret");
    change_provider(options, |provider| {
        for client in provider.clients.iter_mut().filter(|client| client.client_id == CLIENT_ID) {
            client.client_secret = Some(CLIENT_SECRET.to_owned());
        }
    });
}

/// Makes the provider of a local cloud one that follows OpenID Connect to the letter, in place of
/// Cognito.
pub fn follow_the_standards(options: &mut Options) {
    set(options, &identity::OIDC_PROFILE, "generic");
    change_provider(options, |provider| provider.profile = Profile::Generic);
}

/// Makes the provider of a local cloud tell who people are at its user info endpoint alone.
pub fn tell_at_user_info(options: &mut Options) {
    change_provider(options, |provider| provider.claims_in_id_tokens = false);
}

fn change_provider(
    options: &mut Options,
    change: impl Fn(&mut provider::Options) + Send + Sync + 'static,
) {
    let nobody = |addresses: &Addresses, folder, clock| {
        provider_options(addresses, folder, clock, Vec::new())
    };
    let before = std::mem::replace(&mut options.provider, Box::new(nobody));
    options.provider = Box::new(move |addresses, folder, clock| {
        let mut provider = before(addresses, folder, clock);
        change(&mut provider);
        provider
    });
}

/// Stores the sample catalogue in a running local cloud.
pub async fn publish_catalog(cloud: &Cloud) -> Result<(), SampleError> {
    publish(cloud, &edition()?).await
}

/// Makes an edition the current catalogue of a running local cloud.
pub async fn publish(cloud: &Cloud, edition: &Edition) -> Result<(), SampleError> {
    let connection = operator(&cloud.addresses);
    let publisher = CatalogPublisher::new(&Tables::new(&connection, "dev"));
    publisher.publish(edition, SystemClock.now()).await?;
    Ok(())
}

/// A connection that may do everything in the local cloud.
pub fn operator(addresses: &Addresses) -> Connection {
    let dynamodb = Addresses::url(addresses.dynamodb);
    let messages = Addresses::url(addresses.messages);
    let mail = Addresses::url(addresses.mail);
    Connection::new(Environment {
        region: "us-east-1".to_owned(),
        access_key_id: OPERATOR_ACCESS_KEY_ID.to_owned(),
        secret_access_key: OPERATOR_ACCESS_KEY_ID.to_owned(),
        session_token: None,
        endpoints: vec![
            (Service::DynamoDb, dynamodb.clone()),
            (Service::DynamoDbStreams, dynamodb),
            (Service::Sqs, messages.clone()),
            (Service::SecretsManager, messages),
            (Service::Email, mail),
        ],
    })
}

/// Where the parts of the local cloud listen that `rollcall dev` started from `port` on.
pub fn addresses(port: u16) -> Addresses {
    Addresses {
        api: port,
        provider: port.saturating_add(1),
        hubspot: port.saturating_add(2),
        dynamodb: port.saturating_add(3),
        messages: port.saturating_add(4),
        mail: port.saturating_add(5),
    }
}

fn webhook_url(addresses: &Addresses) -> String {
    format!("{}/webhooks/hubspot", Addresses::url(addresses.api))
}

fn origins(addresses: &Addresses) -> Vec<String> {
    vec![Addresses::url(addresses.api), "http://localhost:3000".to_owned()]
}

/// The settings of a local cloud.
pub fn settings(addresses: &Addresses) -> BTreeMap<&'static str, String> {
    let api = Addresses::url(addresses.api);
    let provider = Addresses::url(addresses.provider);
    BTreeMap::from([
        (STAGE.name, "dev".to_owned()),
        (RATE_LIMIT_FACTOR.name, "1".to_owned()),
        (rollcall_edge::session::ORIGINS.name, origins(addresses).join(" ")),
        (identity::SITE_URL.name, api.clone()),
        (learning::CREDENTIALS_URL.name, api.clone()),
        (learning::ISSUER_NAME.name, "Rollcall Sample Guild".to_owned()),
        (identity::MAIL_FROM.name, format!("Rollcall <mail@{MAIL_DOMAIN}>")),
        (identity::LANDING_PATH.name, "/auth/me".to_owned()),
        (identity::OIDC_ISSUER.name, format!("{provider}/{POOL}")),
        (identity::OIDC_CLIENT_ID.name, CLIENT_ID.to_owned()),
        (identity::OIDC_REDIRECT_URI.name, format!("{api}/auth/callback")),
        (identity::OIDC_PROFILE.name, "cognito".to_owned()),
        (bearer::OIDC_AUDIENCE.name, api.clone()),
        (bearer::OIDC_MACHINE_CLIENT_IDS.name, MONITOR_ID.to_owned()),
        (identity::OIDC_CLIENT_AUTHENTICATION.name, "none".to_owned()),
        (CANARY_URL.name, format!("{api}/health")),
        (crm::CRM.name, "hubspot".to_owned()),
        (crm::FEED.name, "none".to_owned()),
        (LAB_VALIDATOR.name, "none".to_owned()),
        (crm::HUBSPOT_URL.name, Addresses::url(addresses.hubspot)),
        (crm::HUBSPOT_API.name, "2026-09".to_owned()),
        (crm::HUBSPOT_CREDENTIAL.name, "token".to_owned()),
        (crm::HUBSPOT_CLIENT_ID.name, "none".to_owned()),
        (crm::HUBSPOT_WEBHOOK_URL.name, webhook_url(addresses)),
        (crm::HUBSPOT_APP_ID.name, HUBSPOT_APP_ID.to_string()),
        (crm::CRM_DRIFT.name, "ours".to_owned()),
        (crm::HUBSPOT_KEY.name, "rollcall_user_id".to_owned()),
        (crm::HUBSPOT_MILESTONES.name, "events".to_owned()),
    ])
}

const MAIL_DOMAIN: &str = "rollcall.example";
const POOL: &str = "us-east-1_rollcall";
/// The sample's machine, which operates.
pub const MONITOR_ID: &str = "rollcall-monitor";
/// The secret of the sample's machine.
pub const MONITOR_SECRET: &str = "a-monitor-secret-for-local-use-only";

fn provider_options(
    addresses: &Addresses,
    folder: Option<PathBuf>,
    clock: LocalClock,
    users: Vec<User>,
) -> provider::Options {
    let api = Addresses::url(addresses.api);
    provider::Options {
        folder,
        clock,
        base_url: Addresses::url(addresses.provider),
        pool_id: POOL.to_owned(),
        profile: Profile::Cognito,
        users,
        clients: vec![
            Client {
                client_id: MONITOR_ID.to_owned(),
                client_secret: Some(MONITOR_SECRET.to_owned()),
                redirect_uris: Vec::new(),
                logout_uris: Vec::new(),
                scopes: vec!["rollcall/operate".to_owned()],
            },
            Client {
                client_id: CLIENT_ID.to_owned(),
                client_secret: None,
                redirect_uris: vec![
                    format!("{api}/auth/callback"),
                    "http://localhost:3000/auth/callback".to_owned(),
                ],
                logout_uris: vec![api, "http://localhost:3000".to_owned()],
                scopes: ["openid", "email", "profile"].map(ToOwned::to_owned).to_vec(),
            },
        ],
        claims_in_id_tokens: true,
        triggers: None,
    }
}
