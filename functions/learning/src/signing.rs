//! What the routes work with that hand out credentials: who issues them, and the keys.

use rollcall_credentials::key::UnusableKeys;
use rollcall_credentials::quads::Uncanonical;
use rollcall_credentials::{Issuer, PublicKey, SigningKey, jwt, proof};
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::INTERNAL;
use rollcall_edge::{HttpRequest, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::settings::Setting;
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;
use rollcall_store::PortError;
use serde_json::Value;

use crate::settings::{CREDENTIALS_URL, ISSUER_NAME};

/// What signing needs.
pub(crate) const GRANTS: &[Grant] = &[Grant::secret(SecretName::CertificateKey)];
/// What naming the issuer needs.
pub(crate) const SETTINGS: &[&Setting] = &[&CREDENTIALS_URL, &ISSUER_NAME];

/// The media type of credentials with a proof (Verifiable Credentials 2.0 §C.1).
const CREDENTIAL: &str = "application/vc";
/// The media type of credentials as JWTs (Securing Verifiable Credentials using JOSE and COSE §6.1).
const TOKEN: &str = "application/vc+jwt";

/// The organisation, by the settings.
pub(crate) fn issuer(startup: &Startup) -> Result<Issuer, StartupError> {
    let base_url = startup.setting(&CREDENTIALS_URL)?.to_owned();
    Ok(Issuer { base_url, name: startup.setting(&ISSUER_NAME)?.to_owned() })
}

/// Signs credentials.
pub(crate) struct Signer {
    pub(crate) issuer: Issuer,
    keys: SecretReader,
}

/// In which of its two forms a caller wants a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON-LD with a proof.
    Proof,
    /// A VC-JWT.
    Token,
}

impl Form {
    /// The form that a request asks for: with a proof, unless it wants a JWT.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let wanted = request.header("accept").unwrap_or_default();
        let is_token = |part: &str| {
            let essence = part.split(';').next().unwrap_or_default().trim();
            [TOKEN, "application/jwt"].iter().any(|media| essence.eq_ignore_ascii_case(media))
        };
        if wanted.split(',').any(is_token) { Self::Token } else { Self::Proof }
    }
}

impl Signer {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { issuer: issuer(startup)?, keys: startup.secret(SecretName::CertificateKey)? })
    }

    /// The keys that are published: all that were ever put into the secret.
    pub(crate) async fn published(&self, now: Timestamp) -> Result<Vec<PublicKey>, SigningError> {
        let keys = SigningKey::parse(&self.keys.read(now).await?)?;
        Ok(keys.iter().map(|key| key.public().clone()).collect())
    }

    /// A credential with a proof.
    pub(crate) async fn proven(
        &self,
        credential: Value,
        now: Timestamp,
    ) -> Result<Value, SigningError> {
        let keys = self.keys.keys(now).await?;
        let keys = SigningKey::parse(keys.signing(now))?;
        let key = keys.first().ok_or(UnusableKeys)?;
        Ok(proof::sign(credential, &self.issuer, key, now)?)
    }

    /// A credential in one of its forms. A new key signs when every instance publishes it.
    pub(crate) async fn answer(
        &self,
        credential: Value,
        valid_from: Option<Timestamp>,
        form: Form,
        now: Timestamp,
    ) -> Result<Response, SigningError> {
        let keys = self.keys.keys(now).await?;
        let keys = SigningKey::parse(keys.signing(now))?;
        let key = keys.first().ok_or(UnusableKeys)?;
        let response = match form {
            Form::Proof => {
                let signed = proof::sign(credential, &self.issuer, key, now)?;
                Response::text(200, CREDENTIAL, signed.to_string())
            }
            Form::Token => {
                let not_before = valid_from.map(Timestamp::as_second);
                let token = jwt::sign(&credential, &self.issuer, key, not_before);
                Response::text(200, TOKEN, token)
            }
        };
        Ok(response.with_header("vary", "accept"))
    }
}

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error(transparent)]
    Keys(#[from] UnusableKeys),
    #[error("the credential has no canonical form")]
    Uncanonical(#[from] Uncanonical),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<SigningError> for Problem {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Keys(error) => {
                tracing::error!(%error, "certificates cannot be signed");
                Self::new(&INTERNAL)
            }
            SigningError::Uncanonical(error) => {
                tracing::error!(%error, "certificates cannot be signed");
                Self::new(&INTERNAL)
            }
            SigningError::Port(error) => Self::port(&error),
        }
    }
}
