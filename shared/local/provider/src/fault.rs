//! Faults that a test orders for the next calls.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How long an unanswered request is held; longer than any client of a function may wait.
pub(crate) const HELD_REQUEST_SECONDS: u64 = 30;
/// How often one order may repeat.
pub(crate) const FAULT_COUNT_MAX: u32 = 1000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The call is held and never answered in time.
    Timeout,
    /// The call answers 500.
    #[serde(rename = "500")]
    ServerError,
    /// The call answers 302 to another place.
    Redirect,
    /// The call answers 200 with something that is not JSON.
    NotJson,
    /// The call answers 200 with more bytes than any answer has.
    Oversized,
    /// The call takes effect and its reply is cut off.
    DropReply,
    /// Discovery names another issuer.
    WrongDiscoveryIssuer,
    /// The key set holds two different keys under one id, the wrong one first.
    DuplicateKid,
    /// The callback carries another `state`.
    WrongState,
    /// The token names another issuer.
    WrongIssuer,
    /// The token is for another client.
    WrongAudience,
    /// Several audiences without the party the token was issued to.
    MissingAzp,
    /// The token is not signed.
    AlgNone,
    /// The token is signed by HMAC with the public key as the secret.
    Hs256WithPublicKey,
    /// The signature belongs to other claims.
    WrongSignature,
    /// The token has expired an hour ago.
    Expired,
    /// The token was issued an hour from now.
    FutureIat,
    /// The token names a key that is not published.
    UnknownKid,
    /// The id token has no nonce.
    MissingNonce,
    /// The id token has another nonce.
    WrongNonce,
    /// The id token says it is an access token, and the other way round.
    WrongTokenUse,
    /// The id token's `at_hash` belongs to another access token.
    WrongAtHash,
    /// The token has no subject.
    MissingSubject,
    /// The user info is somebody else's.
    OtherUserInfo,
}

/// An endpoint, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Endpoint {
    Discovery,
    Jwks,
    Authorize,
    Token,
    UserInfo,
    Revoke,
}

impl Endpoint {
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/oauth2/authorize" => Some(Self::Authorize),
            "/oauth2/token" => Some(Self::Token),
            "/oauth2/userInfo" => Some(Self::UserInfo),
            "/oauth2/revoke" => Some(Self::Revoke),
            _ if path.ends_with("/.well-known/openid-configuration") => Some(Self::Discovery),
            _ if path.ends_with("/.well-known/jwks.json") => Some(Self::Jwks),
            _ => None,
        }
    }
}

/// Where a fault takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between the caller and the endpoint.
    Transport(Endpoint),
    /// In the discovery document.
    DiscoveryDocument,
    /// In the key set.
    KeySet,
    /// In the redirect back to the client.
    Callback,
    /// In the tokens of an answer.
    Tokens,
    /// In the user info.
    UserInfo,
}

impl Kind {
    fn place(self, endpoint: Endpoint) -> Place {
        match self {
            Self::Timeout
            | Self::ServerError
            | Self::Redirect
            | Self::NotJson
            | Self::Oversized
            | Self::DropReply => Place::Transport(endpoint),
            Self::WrongDiscoveryIssuer => Place::DiscoveryDocument,
            Self::DuplicateKid => Place::KeySet,
            Self::WrongState => Place::Callback,
            Self::WrongIssuer
            | Self::WrongAudience
            | Self::MissingAzp
            | Self::AlgNone
            | Self::Hs256WithPublicKey
            | Self::WrongSignature
            | Self::Expired
            | Self::FutureIat
            | Self::UnknownKid
            | Self::MissingNonce
            | Self::WrongNonce
            | Self::WrongTokenUse
            | Self::WrongAtHash
            | Self::MissingSubject => Place::Tokens,
            Self::OtherUserInfo => Place::UserInfo,
        }
    }

    /// Changes the claims of an id or access token as this fault demands.
    pub(crate) fn change_claims(self, claims: &mut Map<String, Value>, now: i64) {
        let audience = claims.get("aud").cloned();
        let token_use = claims.get("token_use").cloned();
        let changes: &[(&str, Value)] = match self {
            Self::WrongIssuer => &[("iss", json!("https://provider.invalid/other"))],
            Self::WrongAudience if audience.is_some() => &[("aud", json!("another-client"))],
            Self::WrongAudience => &[("client_id", json!("another-client"))],
            Self::MissingAzp => &[("aud", json!([audience, "another-client"]))],
            Self::Expired => &[("iat", json!(now - 7200)), ("exp", json!(now - 3600))],
            Self::FutureIat => &[("iat", json!(now + 3600)), ("exp", json!(now + 7200))],
            Self::MissingNonce => &[("nonce", Value::Null)],
            Self::WrongNonce => &[("nonce", json!("another-nonce"))],
            Self::WrongTokenUse if token_use == Some(json!("id")) => {
                &[("token_use", json!("access"))]
            }
            Self::WrongTokenUse => &[("token_use", json!("id"))],
            Self::WrongAtHash => &[("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))],
            Self::MissingSubject => &[("sub", Value::Null)],
            _ => &[],
        };
        for (name, value) in changes {
            match value {
                Value::Null => claims.remove(*name),
                value => claims.insert((*name).to_owned(), value.clone()),
            };
        }
    }
}

/// An order: this fault, so many times.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    /// Which endpoint a fault of transport hits; the token endpoint unless said otherwise.
    #[serde(default = "token_endpoint")]
    pub(crate) endpoint: Endpoint,
    /// How many calls; one unless said otherwise.
    #[serde(default = "once")]
    pub(crate) count: u32,
}

fn token_endpoint() -> Endpoint {
    Endpoint::Token
}

fn once() -> u32 {
    1
}

/// The faults still to come, oldest first.
#[derive(Default)]
pub(crate) struct Plan {
    orders: Vec<Order>,
    outage: bool,
}

impl Plan {
    pub(crate) fn add(&mut self, order: Order) {
        self.orders.push(Order { count: order.count.min(FAULT_COUNT_MAX), ..order });
    }

    /// From now on no call is answered but those of the controls.
    pub(crate) fn begin_outage(&mut self) {
        self.outage = true;
    }

    pub(crate) fn is_outage(&self) -> bool {
        self.outage
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault that hits this call, if one was ordered.
    pub(crate) fn take(&mut self, place: Place) -> Option<Kind> {
        self.orders.retain(|order| order.count > 0);
        let order =
            self.orders.iter_mut().find(|order| order.kind.place(order.endpoint) == place)?;
        order.count -= 1;
        Some(order.kind)
    }
}
