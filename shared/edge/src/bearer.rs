//! Callers with an access token of the identity provider (RFC 6750).
//!
//! A token counts in the header `Authorization` and nowhere else: queries and bodies end up in logs
//! and histories. A request that has the header is about its token alone; when the token is not
//! good, no session cookie makes up for it (fault A11).
//!
//! A good token says which person calls. What they may do says our own record of them, read anew for
//! every request, and a token that was issued before its user last signed out is good no more.

use futures::future::try_join;
use rollcall_domain::scope::Scope;
use rollcall_domain::secret::Secret;
use rollcall_oidc::{
    AccessClaims, AccessSettings, AccessVerifier, ErrorClass, OidcError, ProviderProfile,
};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::settings::{Setting, SettingKind};
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::sessions::SessionReader;
use rollcall_store::users::UserReader;
use tokio::sync::OnceCell;

use crate::caller::{Caller, Credential, Machine, Sender};
use crate::problem::{
    ACCOUNT_CLOSED, ACCOUNT_REQUIRED, Challenge, INTERNAL, INVALID_AUTHORIZATION, INVALID_TOKEN,
    Problem, UNAVAILABLE,
};
use crate::request::{Context, HttpRequest};

/// Who vouches for people. A text and not a URL of ours: issuers are compared letter by letter and
/// some end with a slash.
pub static OIDC_ISSUER: Setting = Setting {
    name: "ROLLCALL_OIDC_ISSUER",
    description: "The issuer of the OpenID Connect provider, exactly as its tokens name it.",
    kind: SettingKind::Text,
};

/// Who we are there.
pub static OIDC_CLIENT_ID: Setting = Setting {
    name: "ROLLCALL_OIDC_CLIENT_ID",
    description: "Our client id at the provider.",
    kind: SettingKind::Text,
};

/// Whose deviations from the standards are expected.
pub static OIDC_PROFILE: Setting = Setting {
    name: "ROLLCALL_OIDC_PROFILE",
    description: "What the provider is: cognito, or generic for any that follows the standards.",
    kind: SettingKind::OneOf(&["cognito", "generic"]),
};

/// Whom access tokens are for.
pub static OIDC_AUDIENCE: Setting = Setting {
    name: "ROLLCALL_OIDC_AUDIENCE",
    description: "Whom access tokens for the API name as their audience; those of Cognito may name nobody.",
    kind: SettingKind::Text,
};

/// Which clients may call in their own name.
pub static OIDC_MACHINE_CLIENT_IDS: Setting = Setting {
    name: "ROLLCALL_OIDC_MACHINE_CLIENT_IDS",
    description: "The clients that may call in their own name (client credentials), separated by spaces; none where there are none.",
    kind: SettingKind::Text,
};

/// The variables that tell good tokens from others.
pub(crate) const SETTINGS: &[&Setting] =
    &[&OIDC_ISSUER, &OIDC_CLIENT_ID, &OIDC_PROFILE, &OIDC_AUDIENCE, &OIDC_MACHINE_CLIENT_IDS];

/// When to try again, in seconds, after the provider did not tell its keys.
const RETRY_AFTER_SECONDS: u32 = 10;

/// The profile that the settings name.
pub fn oidc_profile(startup: &Startup) -> Result<ProviderProfile, StartupError> {
    Ok(match startup.setting(&OIDC_PROFILE)? {
        "cognito" => ProviderProfile::Cognito,
        _ => ProviderProfile::Generic,
    })
}

/// Why a header `Authorization` holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("there is more than one Authorization")]
    Several,
    #[error("the scheme of Authorization is not Bearer")]
    Scheme,
    #[error("Authorization holds no token")]
    NoToken,
    #[error("Authorization and a session cookie name a caller each")]
    Ambiguous,
}

/// Why a token that the provider made is not good here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unwelcome {
    #[error("a person's token was issued to a machine")]
    PersonOfMachine,
    #[error("a machine's token was issued to a client for people")]
    MachineOfPeople,
    #[error("the token was issued before its user signed out")]
    Revoked,
    #[error("the token's person has no account")]
    Stranger,
}

/// The token of a request, if it has the header `Authorization`; 400 when that holds none.
pub(crate) fn presented(request: &HttpRequest) -> Result<Option<Secret>, Problem> {
    if !request.has_header("authorization") {
        return Ok(None);
    }
    let value = request.header("authorization").ok_or(Unusable::NoToken);
    value.and_then(token).map(Some).map_err(unusable)
}

/// Refuses what names a caller twice.
pub(crate) fn ambiguous() -> Problem {
    unusable(Unusable::Ambiguous)
}

/// The token of RFC 6750 §2.1: one scheme, whose letters' case means nothing, one space or more, one
/// token of the allowed characters.
fn token(value: &str) -> Result<Secret, Unusable> {
    let value = value.trim();
    // Gateways join several headers of one name by commas, which no token has.
    if value.contains(',') {
        return Err(Unusable::Several);
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unusable::Scheme);
    }
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(is_allowed) {
        return Err(Unusable::NoToken);
    }
    Ok(Secret::new(token))
}

fn unusable(reason: Unusable) -> Problem {
    tracing::info!(%reason, "an Authorization is refused");
    let problem = Problem::new(&INVALID_AUTHORIZATION).with_detail(reason.to_string());
    problem.with_challenge(Challenge::InvalidRequest)
}

/// Tells whom tokens stand for.
pub(crate) struct Tokens {
    settings: AccessSettings,
    machines: Vec<String>,
    /// Made for the first token: most processes never see one.
    verifier: OnceCell<AccessVerifier>,
    users: UserReader,
    sessions: SessionReader,
}

impl Tokens {
    /// For the function that starts.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let machines = match startup.setting(&OIDC_MACHINE_CLIENT_IDS)? {
            "none" => Vec::new(),
            names => names.split_whitespace().map(ToOwned::to_owned).collect(),
        };
        let people = startup.setting(&OIDC_CLIENT_ID)?.to_owned();
        Ok(Self {
            settings: AccessSettings {
                issuer: startup.setting(&OIDC_ISSUER)?.to_owned(),
                profile: oidc_profile(startup)?,
                audience: Some(startup.setting(&OIDC_AUDIENCE)?.to_owned()),
                client_ids: machines.iter().cloned().chain([people]).collect(),
            },
            machines,
            verifier: OnceCell::new(),
            users: startup.capability()?,
            sessions: startup.capability()?,
        })
    }

    /// Whom a token stands for, if it is good.
    pub(crate) async fn sender(
        &self,
        token: &Secret,
        context: &Context,
    ) -> Result<Sender, Problem> {
        let claims = self.verify(token, context).await?;
        let names_itself = claims.subject == claims.client_id;
        if self.machines.contains(&claims.client_id) {
            // A machine's client gets tokens of its own alone, so nobody acts through it.
            return if names_itself {
                let scopes = scopes(&claims);
                Ok(Sender::Machine(Machine::new(&claims.client_id, scopes)))
            } else {
                Err(unwelcome(Unwelcome::PersonOfMachine))
            };
        }
        if names_itself {
            return Err(unwelcome(Unwelcome::MachineOfPeople));
        }
        self.user(claims, context).await.map(Sender::User)
    }

    async fn verify(&self, token: &Secret, context: &Context) -> Result<AccessClaims, Problem> {
        let made = self
            .verifier
            .get_or_try_init(async || AccessVerifier::new(self.settings.clone()))
            .await;
        let verifier = made.map_err(|error| {
            tracing::error!(error = chain(&error), "no access token can be checked");
            Problem::new(&INTERNAL)
        })?;
        verifier.verify(token, context.now).await.map_err(|error| refused(&error))
    }

    /// The user of a good token. Two requests for their facts go at once.
    async fn user(&self, claims: AccessClaims, context: &Context) -> Result<Caller, Problem> {
        let port = |error| Problem::port(&error);
        let AccessClaims { issuer, subject, .. } = &claims;
        let id = self.users.find_id_by_identity(issuer, subject).await.map_err(port)?;
        let id = id.ok_or_else(|| unwelcome(Unwelcome::Stranger))?;
        let facts = try_join(self.users.find(&id), self.sessions.tokens_not_before(&id));
        let (user, not_before) = facts.await.map_err(port)?;
        let user = user.ok_or_else(|| unwelcome(Unwelcome::Stranger))?;
        if not_before.is_some_and(|bound| claims.issued_at < bound) {
            return Err(unwelcome(Unwelcome::Revoked));
        }
        user.standing.check_open(context.now).map_err(|closed| {
            tracing::info!(reason = %closed, "an access token is refused");
            Problem::new(&ACCOUNT_CLOSED)
        })?;
        let scopes = scopes(&claims);
        Ok(Caller {
            roles: user.roles(),
            user: user.id,
            credential: Credential::Token { client_id: claims.client_id, scopes },
        })
    }
}

/// The scopes of ours; a token may have others, which mean nothing here.
fn scopes(claims: &AccessClaims) -> Vec<Scope> {
    claims.scopes.iter().filter_map(|scope| scope.parse().ok()).collect()
}

fn refused(error: &OidcError) -> Problem {
    match error {
        OidcError::Token(reason) => invalid_token(reason),
        error => {
            let (class, text) = (error.class(), chain(error));
            tracing::error!(?class, error = text, "no access token can be checked");
            match class {
                ErrorClass::ProviderUnavailable => {
                    Problem::new(&UNAVAILABLE).with_retry_after(RETRY_AFTER_SECONDS)
                }
                ErrorClass::Caller
                | ErrorClass::ProviderMisbehaving
                | ErrorClass::Misconfigured => Problem::new(&INTERNAL),
            }
        }
    }
}

fn unwelcome(reason: Unwelcome) -> Problem {
    match reason {
        Unwelcome::PersonOfMachine | Unwelcome::MachineOfPeople | Unwelcome::Revoked => {
            invalid_token(&reason)
        }
        Unwelcome::Stranger => {
            tracing::info!(%reason, "an access token is refused");
            Problem::new(&ACCOUNT_REQUIRED)
        }
    }
}

/// The one answer to every token that is not good; why it is not stands in the log alone.
fn invalid_token(reason: &impl std::fmt::Display) -> Problem {
    tracing::info!(%reason, "an access token is refused");
    Problem::new(&INVALID_TOKEN).with_challenge(Challenge::InvalidToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_holds_one_token() {
        for (value, expected) in [
            ("Bearer abc.def-_~+/==", Ok("abc.def-_~+/==")),
            ("bearer abc", Ok("abc")),
            ("BEARER   abc ", Ok("abc")),
            ("", Err(Unusable::Scheme)),
            ("abc", Err(Unusable::Scheme)),
            ("Basic abc", Err(Unusable::Scheme)),
            ("Bearerabc", Err(Unusable::Scheme)),
            ("Bearer\tabc", Err(Unusable::Scheme)),
            ("Bearer", Err(Unusable::NoToken)),
            ("Bearer ", Err(Unusable::NoToken)),
            ("Bearer ==", Err(Unusable::NoToken)),
            ("Bearer a b", Err(Unusable::NoToken)),
            ("Bearer a=b", Err(Unusable::NoToken)),
            ("Bearer \"abc\"", Err(Unusable::NoToken)),
            ("Bearer é", Err(Unusable::NoToken)),
            ("Bearer abc,Bearer def", Err(Unusable::Several)),
            ("Basic abc, Bearer def", Err(Unusable::Several)),
        ] {
            let read = token(value).map(|token| token.expose().to_owned());
            assert_eq!(read, expected.map(ToOwned::to_owned), "{value:?}");
        }
    }
}
