//! The provider itself: what the endpoints share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as AxumState};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{LocalClock, Snapshot};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use crate::fault::{Endpoint, HELD_REQUEST_SECONDS, Kind, Place, Plan};
use crate::key::{Keys, SigningKey};
use crate::options::{Client, KeyError, OpenError, Options, Profile, User};
use crate::state::{Account, State};
use crate::trigger::Triggers;
use crate::{authorize, control, discovery, login, logout, sign_up, token, user_info};

/// More than any client should read of an answer.
const OVERSIZED_BYTES: usize = 4 * 1024 * 1024;

/// An identity provider. Cloning shares it.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
}

struct Inner {
    clock: LocalClock,
    base_url: String,
    pool_id: String,
    profile: Profile,
    claims_in_id_tokens: bool,
    users: Vec<User>,
    clients: Vec<Client>,
    triggers: Option<Arc<dyn Triggers>>,
    snapshot: Snapshot,
    state: Mutex<State>,
    faults: Mutex<Plan>,
}

/// Why the provider itself failed at a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the state was not saved")]
    Snapshot(#[from] SnapshotError),
    #[error("a token was not signed")]
    Key(#[from] KeyError),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(error = &self as &dyn std::error::Error, "identity provider failed");
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            axum::Json(serde_json::json!({"error": "server_error"})),
        )
            .into_response()
    }
}

impl Provider {
    /// Opens a provider, with the keys, sessions and refresh tokens of its last run if it has a
    /// folder.
    ///
    /// # Errors
    ///
    /// When a client registers a URL that no provider accepts, or the folder cannot be used.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        options.clients.iter().try_for_each(Client::check)?;
        let snapshot = Snapshot::new(options.folder.as_deref(), "provider");
        let state = match snapshot.load()? {
            Some(state) => state,
            None if options.folder.is_some() => State::new(Keys::generate()?),
            None => State::new(Keys::shared()?),
        };
        snapshot.save(&state)?;
        Ok(Self {
            inner: Arc::new(Inner {
                clock: options.clock,
                base_url: options.base_url,
                pool_id: options.pool_id,
                profile: options.profile,
                claims_in_id_tokens: options.claims_in_id_tokens,
                users: options.users,
                clients: options.clients,
                triggers: options.triggers,
                snapshot,
                state: Mutex::new(state),
                faults: Mutex::default(),
            }),
        })
    }

    /// The issuer, exactly as tokens name it.
    pub fn issuer(&self) -> String {
        format!("{}/{}", self.inner.base_url, self.inner.pool_id)
    }

    /// Every endpoint, and the controls under `/_emulator`.
    pub fn router(&self) -> Router {
        let well_known = |name: &str| format!("/{}/.well-known/{name}", self.inner.pool_id);
        // RFC 8414 §3.1: the well-known part goes before the issuer's path.
        let authorization_server =
            format!("/.well-known/oauth-authorization-server/{}", self.inner.pool_id);
        Router::new()
            .route(&well_known("openid-configuration"), get(discovery::configuration))
            .route(&well_known("jwks.json"), get(discovery::key_set))
            .route(&authorization_server, get(discovery::authorization_server))
            .route("/oauth2/authorize", get(authorize::get).post(authorize::post))
            .route("/login", get(login::get).post(login::post))
            .route("/oauth2/token", post(token::token))
            .route("/oauth2/revoke", post(token::revoke))
            .route("/oauth2/userInfo", get(user_info::user_info).post(user_info::user_info))
            .route("/signup", get(sign_up::get).post(sign_up::post))
            .route("/confirmUser", post(sign_up::confirm))
            .route("/logout", get(logout::get).post(logout::post))
            .route("/_emulator/login-as", post(control::login_as))
            .route("/_emulator/rotate-keys", post(control::rotate_keys))
            .route("/_emulator/sign", post(control::sign))
            .route("/_emulator/break-next", post(control::break_next).delete(control::mend))
            .route("/_emulator/outage", post(control::begin_outage).delete(control::mend))
            .route("/_emulator/rotation", post(control::set_rotation))
            .route("/_emulator/users", get(control::users))
            .layer(middleware::from_fn_with_state(self.clone(), break_transport))
            .with_state(self.clone())
    }

    /// What calls the functions of the pool's triggers; a provider that is no user pool has none.
    pub(crate) fn triggers(&self) -> Option<&Arc<dyn Triggers>> {
        match self.inner.profile {
            Profile::Cognito => self.inner.triggers.as_ref(),
            Profile::Generic => None,
        }
    }

    pub(crate) fn pool_id(&self) -> &str {
        &self.inner.pool_id
    }

    /// The region, which a pool's id begins with.
    pub(crate) fn region(&self) -> &str {
        self.inner.pool_id.split('_').next().unwrap_or_default()
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.inner.base_url
    }

    pub(crate) fn profile(&self) -> Profile {
        self.inner.profile
    }

    pub(crate) fn claims_in_id_tokens(&self) -> bool {
        self.inner.claims_in_id_tokens
    }

    /// Everybody who can sign in.
    pub(crate) fn users(&self) -> Vec<User> {
        let accounts = self.accounts().filter(|account| account.confirmation_code.is_none());
        accounts.map(|account| account.user).collect()
    }

    fn accounts(&self) -> impl Iterator<Item = Account> {
        let brought = self.inner.users.iter().cloned();
        let brought = brought.map(|user| Account { user, confirmation_code: None });
        brought.chain(self.read(|state| state.accounts().to_vec()))
    }

    pub(crate) fn now(&self) -> i64 {
        self.inner.clock.now().as_second()
    }

    pub(crate) fn client(&self, client_id: &str) -> Option<&Client> {
        self.inner.clients.iter().find(|client| client.client_id == client_id)
    }

    /// Somebody who can sign in.
    pub(crate) fn user(&self, username: &str) -> Option<User> {
        let brought = self.inner.users.iter().find(|user| user.username == username);
        brought.cloned().or_else(|| {
            self.read(|state| {
                let mut accounts = state.accounts().iter();
                let account = accounts.find(|account| {
                    account.confirmation_code.is_none() && account.user.username == username
                })?;
                Some(account.user.clone())
            })
        })
    }

    /// The account whose password this is. A wrong name takes as long as a wrong password, and the
    /// e-mail address works in place of the name.
    pub(crate) fn authenticate(&self, name: &str, password: &str) -> Option<Account> {
        let account = self.accounts().find(|Account { user, .. }| {
            user.username == name || user.email.eq_ignore_ascii_case(name)
        });
        let expected = account.as_ref().map_or("", |account| account.user.password.as_str());
        let matches = equal(expected, password);
        account.filter(|_| matches)
    }

    /// Adds an account whose address is still to be confirmed; `None` when the address has one.
    pub(crate) fn sign_up(&self, email: &str, password: &str) -> Result<Option<Account>, Failure> {
        if self.inner.users.iter().any(|user| user.email.eq_ignore_ascii_case(email)) {
            return Ok(None);
        }
        self.change(|state| state.sign_up(email, password))
    }

    /// The claims of a token that a published key of ours has signed, be it expired or not; `None`
    /// for any other.
    pub(crate) fn verified<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let now = self.now();
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let jwk = self
            .read(|state| {
                state.keys.published(now).find(|key| key.kid == kid).map(SigningKey::jwk)
            })?
            .ok()?;
        let mut validation = Validation::new(Algorithm::RS256);
        // The library reads the machine's clock; this cloud has its own. The audience differs.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(jsonwebtoken::decode(token, &key, &validation).ok()?.claims)
    }

    pub(crate) fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state())
    }

    /// Changes the state and saves it before anybody sees the answer.
    pub(crate) fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> Result<T, Failure> {
        let mut state = self.state();
        state.forget_ended(self.now());
        let answer = with(&mut state);
        self.inner.snapshot.save(&*state)?;
        Ok(answer)
    }

    pub(crate) fn fault(&self, place: Place) -> Option<Kind> {
        self.faults().take(place)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Plan> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two secrets are equal, in time that depends only on their lengths.
pub(crate) fn equal(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

async fn break_transport(
    AxumState(provider): AxumState<Provider>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if provider.faults().is_outage() && !path.starts_with("/_emulator/") {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let fault =
        Endpoint::of_path(path).and_then(|endpoint| provider.fault(Place::Transport(endpoint)));
    match fault {
        Some(Kind::Timeout) => {
            tokio::time::sleep(Duration::from_secs(HELD_REQUEST_SECONDS)).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Some(Kind::ServerError) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "<html>upstream failed</html>").into_response()
        }
        Some(Kind::Redirect) => Redirect::temporary("http://localhost:1/elsewhere").into_response(),
        Some(Kind::NotJson) => "<html>maintenance</html>".into_response(),
        Some(Kind::Oversized) => " ".repeat(OVERSIZED_BYTES).into_response(),
        Some(Kind::DropReply) => {
            let (parts, _) = next.run(request).await.into_parts();
            let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            let stream = futures::stream::once(async { Err::<axum::body::Bytes, _>(cut) });
            Response::from_parts(parts, Body::from_stream(stream))
        }
        _ => next.run(request).await,
    }
}
