//! Tokens and their claims (OpenID Connect Core §2, RFC 9068 for the generic profile).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::fault::{Kind, Place};
use crate::key::SigningKey;
use crate::options::{KeyError, Profile, User};
use crate::provider::{Failure, Provider};
use crate::random;
use crate::state::Grant;
use crate::trigger::Override;

/// How long id and access tokens are valid.
pub(crate) const TOKEN_SECONDS: i64 = 3600;

/// The tokens of one answer.
pub(crate) struct Minted {
    pub(crate) access_token: String,
    pub(crate) id_token: Option<String>,
}

/// Makes the tokens for a person, with what a function of the pool changed in them. A fault that was
/// ordered for the next tokens spoils both.
pub(crate) fn mint(
    provider: &Provider,
    user: &User,
    grant: &Grant,
    nonce: Option<&str>,
    changes: &Override,
) -> Result<Minted, Failure> {
    let now = provider.now();
    let fault = provider.fault(Place::Tokens);
    let keys = provider.read(|state| state.keys.clone());
    let header = access_header(provider.profile());
    let user = &changes.person(user);
    let mut claims = access_claims(provider, user, grant, now);
    changes.access.apply(&mut claims);
    let access_token = sign(&keys.access, header, claims, fault, now)?;
    let id_token = if grant.scopes.iter().any(|scope| scope == "openid") {
        let mut claims = id_claims(provider, user, grant, now);
        changes.id.apply(&mut claims);
        claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        claims.insert("at_hash".to_owned(), json!(at_hash(&access_token)));
        let header = Header { typ: None, ..Header::default() };
        Some(sign(&keys.id, header, claims, fault, now)?)
    } else {
        None
    };
    Ok(Minted { access_token, id_token })
}

/// An access token for the client itself (RFC 6749 §4.4).
pub(crate) fn mint_for_client(
    provider: &Provider,
    client_id: &str,
    scopes: &[String],
) -> Result<String, Failure> {
    let now = provider.now();
    let fault = provider.fault(Place::Tokens);
    let mut claims = common_claims(provider, now);
    claims.extend(members([
        ("sub", json!(client_id)),
        ("client_id", json!(client_id)),
        ("scope", json!(scopes.join(" "))),
    ]));
    claims.extend(match provider.profile() {
        Profile::Cognito => members([
            ("token_use", json!("access")),
            ("auth_time", json!(now)),
            ("version", json!(2)),
        ])
        .collect::<Map<_, _>>(),
        // RFC 9068 §2.2
        Profile::Generic => members([("aud", json!(provider.base_url()))]).collect(),
    });
    let key = provider.read(|state| state.keys.access.clone());
    Ok(sign(&key, access_header(provider.profile()), claims, fault, now)?)
}

fn access_header(profile: Profile) -> Header {
    let typ = match profile {
        Profile::Cognito => None,
        // RFC 9068 §2.1
        Profile::Generic => Some("at+jwt".to_owned()),
    };
    Header { typ, ..Header::default() }
}

fn common_claims(provider: &Provider, now: i64) -> Map<String, Value> {
    members([
        ("iss", json!(provider.issuer())),
        ("iat", json!(now)),
        ("exp", json!(now + TOKEN_SECONDS)),
        ("jti", json!(random::uuid())),
    ])
    .collect()
}

fn access_claims(provider: &Provider, user: &User, grant: &Grant, now: i64) -> Map<String, Value> {
    let mut claims = common_claims(provider, now);
    claims.extend(members([
        ("sub", json!(user.subject)),
        ("client_id", json!(grant.client_id)),
        ("scope", json!(grant.scopes.join(" "))),
        ("auth_time", json!(grant.auth_time)),
        ("origin_jti", json!(grant.origin_jti)),
    ]));
    match provider.profile() {
        Profile::Cognito => {
            claims.extend(members([
                ("token_use", json!("access")),
                ("username", json!(user.username)),
                ("event_id", json!(random::uuid())),
                ("version", json!(2)),
            ]));
            claims.extend(groups("cognito:groups", user));
        }
        Profile::Generic => {
            claims.insert("aud".to_owned(), json!(provider.base_url()));
            claims.extend(groups("groups", user));
        }
    }
    claims
}

fn id_claims(provider: &Provider, user: &User, grant: &Grant, now: i64) -> Map<String, Value> {
    let mut claims = common_claims(provider, now);
    claims.extend(members([
        ("sub", json!(user.subject)),
        ("aud", json!(grant.client_id)),
        ("auth_time", json!(grant.auth_time)),
    ]));
    if provider.claims_in_id_tokens() {
        claims.extend(personal_claims(user, &grant.scopes));
    }
    match provider.profile() {
        Profile::Cognito => {
            claims.extend(members([
                ("token_use", json!("id")),
                ("cognito:username", json!(user.username)),
                ("origin_jti", json!(grant.origin_jti)),
                ("event_id", json!(random::uuid())),
            ]));
            claims.extend(groups("cognito:groups", user));
        }
        Profile::Generic => claims.extend(groups("groups", user)),
    }
    claims
}

/// What the scopes let the client know about the person (OpenID Connect Core §5.4).
pub(crate) fn personal_claims(user: &User, scopes: &[String]) -> Map<String, Value> {
    let has = |name: &str| scopes.iter().any(|scope| scope == name);
    let mut claims = Map::new();
    if has("email") {
        claims.extend(members([
            ("email", json!(user.email)),
            ("email_verified", json!(user.email_verified)),
        ]));
    }
    if has("profile") {
        let names = [("given_name", &user.given_name), ("family_name", &user.family_name)];
        // What is not known is left out, as at Cognito.
        let known = names.into_iter().filter(|(_, name)| !name.is_empty());
        claims.extend(known.map(|(claim, name)| (claim.to_owned(), json!(name))));
    }
    claims
}

/// The groups claim, absent for a person in no group as at Cognito.
fn groups(name: &str, user: &User) -> Option<(String, Value)> {
    (!user.groups.is_empty()).then(|| (name.to_owned(), json!(user.groups)))
}

fn members<const COUNT: usize>(
    members: [(&str, Value); COUNT],
) -> impl Iterator<Item = (String, Value)> {
    members.map(|(name, value)| (name.to_owned(), value)).into_iter()
}

/// The left half of the access token's hash (OpenID Connect Core §3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let digest = Sha256::digest(access_token.as_bytes());
    let (left, _) = digest.split_at(digest.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

fn sign(
    key: &SigningKey,
    header: Header,
    mut claims: Map<String, Value>,
    fault: Option<Kind>,
    now: i64,
) -> Result<String, KeyError> {
    if let Some(fault) = fault {
        fault.change_claims(&mut claims, now);
    }
    let kid = match fault {
        Some(Kind::UnknownKid) => random::key_id(),
        _ => key.kid.clone(),
    };
    let header = Header { kid: Some(kid), ..header };
    match fault {
        Some(Kind::AlgNone) => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let header = json!({ "alg": "none", "kid": header.kid });
            Ok(format!("{}.{}.", part(&header), part(&Value::Object(claims))))
        }
        Some(Kind::Hs256WithPublicKey) => {
            let secret = EncodingKey::from_secret(key.public_pem()?.as_bytes());
            Ok(jsonwebtoken::encode(&header, &claims, &secret)?)
        }
        Some(Kind::WrongSignature) => {
            let honest = key.sign(header.clone(), &claims)?;
            claims.insert("jti".to_owned(), json!(random::uuid()));
            let other = key.sign(header, &claims)?;
            let (message, _) = honest.rsplit_once('.').unwrap_or_default();
            let (_, signature) = other.rsplit_once('.').unwrap_or_default();
            Ok(format!("{message}.{signature}"))
        }
        _ => key.sign(header, &claims),
    }
}
