//! The identity provider, as the settings describe it.
//!
//! Only functions that redeem codes and refresh or revoke tokens speak in the client's name and may
//! read its secret; who sends browsers there needs the public part alone.

use std::cell::RefCell;
use std::rc::Rc;

use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use rollcall_edge::bearer::oidc_profile;
use rollcall_oidc::{Client, Settings, SettingsError};
use rollcall_resources::SecretName;
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;

use crate::settings::{OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_REDIRECT_URI};

/// What we ask for: who it is, and what the profile page shows.
const SCOPES: [&str; 3] = ["openid", "email", "profile"];

/// A client that sends browsers to the provider and has no secret.
pub(crate) fn public_client(startup: &Startup) -> Result<Client, StartupError> {
    Client::new(settings(startup)?).map_err(unusable)
}

fn settings(startup: &Startup) -> Result<Settings, StartupError> {
    Ok(Settings {
        issuer: startup.setting(&OIDC_ISSUER)?.to_owned(),
        client_id: startup.setting(&OIDC_CLIENT_ID)?.to_owned(),
        client_secret: None,
        redirect_uri: startup.setting(&OIDC_REDIRECT_URI)?.to_owned(),
        profile: oidc_profile(startup)?,
        scopes: SCOPES.map(str::to_owned).to_vec(),
    })
}

fn unusable(error: SettingsError) -> StartupError {
    StartupError::Part { what: "the client at the identity provider", source: error.into() }
}

/// The client that speaks in its own name, with the secret that is valid at the moment.
pub(crate) struct AuthenticatedClient {
    settings: Settings,
    secret: Option<SecretReader>,
    current: RefCell<Current>,
}

struct Current {
    client: Rc<Client>,
    secret: Option<Secret>,
}

impl AuthenticatedClient {
    /// The client that the settings describe. Its secret is read at the first use.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let settings = settings(startup)?;
        let secret = match startup.setting(&OIDC_CLIENT_AUTHENTICATION)? {
            "secret" => Some(startup.secret(SecretName::OidcClientSecret)?),
            _ => None,
        };
        let client = Rc::new(Client::new(settings.clone()).map_err(unusable)?);
        Ok(Self { settings, secret, current: RefCell::new(Current { client, secret: None }) })
    }

    /// The client. After a rotation of the secret it is made anew and asks the provider again for
    /// what it had learned.
    pub(crate) async fn get(&self, now: Timestamp) -> Result<Rc<Client>, PortError> {
        if let Some(reader) = &self.secret {
            let secret = reader.read(now).await?;
            let mut current = self.current.borrow_mut();
            let known = current.secret.as_ref();
            if !known.is_some_and(|known| known.matches(secret.expose())) {
                current.client = Rc::new(self.with_secret(secret.clone())?);
                current.secret = Some(secret);
            }
        }
        Ok(Rc::clone(&self.current.borrow().client))
    }

    fn with_secret(&self, secret: Secret) -> Result<Client, PortError> {
        let settings = Settings { client_secret: Some(secret), ..self.settings.clone() };
        Client::new(settings).map_err(|error| {
            let operation = "prepare the client at the identity provider";
            PortError::new(operation, PortErrorClass::Rejected, error)
        })
    }
}
