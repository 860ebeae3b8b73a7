//! Whether a token is to be believed: id tokens by OpenID Connect Core §3.1.3.7, access tokens by
//! RFC 9068 §4 and Cognito's rules, both by RFC 8725 and RFC 9700.
//!
//! Pure: keys, token, expectations and time come in, claims or one refusal come out. The signature
//! is the library's work; every rule about a claim is here, in the order of the standard.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use rollcall_domain::secret::constant_time_equal;
use rollcall_domain::time::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::OidcError;
use crate::key_set::{Key, KeySet};
use crate::settings::ProviderProfile;

/// The claim of an id token in which a user pool that shows our roles among its groups keeps what its
/// own groups are. Roles that we granted would otherwise come back as the provider's, and could never
/// be withdrawn.
pub const PROVIDER_GROUPS: &str = "rollcall:provider_groups";

/// How far the provider's clock may differ from ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Bytes of a token; longer ones are not even parsed.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How long an access token may be valid: Cognito's longest. What is remembered of revocations is
/// remembered for longer.
const ACCESS_TOKEN_LIFE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Characters of a subject (OpenID Connect Core §2).
const SUBJECT_CHARACTERS_MAX: usize = 255;

/// What an id token must fit.
pub struct Expectations<'a> {
    /// The issuer, compared character by character.
    pub issuer: &'a str,
    /// Our client id.
    pub client_id: &'a str,
    /// Whose deviations are expected.
    pub profile: ProviderProfile,
    /// The nonce this sign-in was begun with; `None` after a refresh (OpenID Connect Core §12.2).
    pub nonce: Option<&'a str>,
    /// The access token that came with the id token.
    pub access_token: &'a str,
    /// The current time.
    pub now: Timestamp,
}

/// What an access token must fit.
pub struct AccessExpectations<'a> {
    /// The issuer, compared character by character.
    pub issuer: &'a str,
    /// The clients, one of which tokens must have been issued to.
    pub client_ids: &'a [String],
    /// Whose deviations are expected.
    pub profile: ProviderProfile,
    /// What the audience must contain.
    pub audience: Option<&'a str>,
    /// The current time.
    pub now: Timestamp,
}

/// What a believed access token allows, and to whom.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// Who says so.
    pub issuer: String,
    /// The person, within the issuer; the client itself when the token is for no person (RFC 9068
    /// §2.2).
    pub subject: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Groups at the provider (`cognito:groups`, else `groups`).
    pub groups: Vec<String>,
    /// Names the family of tokens of one sign-in, at Cognito.
    pub origin_jti: Option<String>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// What a believed id token says about a person. Not printable: it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct IdClaims {
    /// Who says so.
    pub issuer: String,
    /// The person, within the issuer. Never reassigned.
    pub subject: String,
    /// E-mail address as the provider spells it.
    pub email: Option<String>,
    /// Whether the provider has seen the person use that address.
    pub email_verified: bool,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// The name the person signs in with (`cognito:username`, else `preferred_username`).
    pub username: Option<String>,
    /// Groups at the provider ([`PROVIDER_GROUPS`], else `cognito:groups`, else `groups`).
    pub groups: Vec<String>,
    /// Names the family of tokens of this sign-in, at Cognito.
    pub origin_jti: Option<String>,
    /// When the person proved who they are.
    pub authenticated_at: Option<Timestamp>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Why a token is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Longer than any honest token.
    #[error("the token is too long")]
    TooLong,
    /// Not a signed token, or claims of wrong types.
    #[error("the token is malformed")]
    Malformed,
    /// Another kind of token in the header's `typ` (RFC 8725 §3.11).
    #[error("the token is of another type")]
    WrongType,
    /// Extensions that must be understood (RFC 7515 §4.1.11).
    #[error("the token demands an extension")]
    CriticalExtension,
    /// Neither RS256 nor ES256; `none` and HMAC are here.
    #[error("the token's algorithm is not allowed")]
    UnsupportedAlgorithm,
    /// The header does not name a key.
    #[error("the token names no key")]
    MissingKeyId,
    /// The key is not in the set.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// The named key is for the other algorithm.
    #[error("the token's key is for another algorithm")]
    WrongKeyAlgorithm,
    /// Not signed by the named key.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// Another issuer, or none.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// Not for us.
    #[error("the token is for another client")]
    WrongAudience,
    /// Several audiences and no `azp`.
    #[error("the token has several audiences and names no authorized party")]
    MissingAuthorizedParty,
    /// Issued to somebody else.
    #[error("the token was issued to another client")]
    WrongAuthorizedParty,
    /// No `exp`.
    #[error("the token never ends")]
    MissingExpiry,
    /// Ended.
    #[error("the token has expired")]
    Expired,
    /// Valid for longer than an access token may be.
    #[error("the token is valid for too long")]
    LivesTooLong,
    /// No `iat`.
    #[error("the token does not say when it was issued")]
    MissingIssuedAt,
    /// Issued later than now.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// `nbf` is later than now (RFC 7519 §4.1.5).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// No nonce.
    #[error("the token has no nonce")]
    MissingNonce,
    /// From another sign-in.
    #[error("the token has another nonce")]
    WrongNonce,
    /// Cognito: an id token in place of an access token, or the other way round.
    #[error("the token is for another use")]
    WrongTokenUse,
    /// For another access token (OpenID Connect Core §3.1.3.8).
    #[error("the token belongs to another access token")]
    WrongAccessTokenHash,
    /// No subject, an empty one, or one that is too long.
    #[error("the token has no usable subject")]
    UnusableSubject,
}

/// The part of the header that decides before the signature is looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    azp: Option<String>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
    auth_time: Option<f64>,
    nonce: Option<String>,
    token_use: Option<String>,
    client_id: Option<String>,
    scope: Option<String>,
    at_hash: Option<String>,
    origin_jti: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    given_name: Option<String>,
    family_name: Option<String>,
    preferred_username: Option<String>,
    #[serde(rename = "cognito:username")]
    cognito_username: Option<String>,
    groups: Option<Value>,
    #[serde(rename = "cognito:groups")]
    cognito_groups: Option<Value>,
    #[serde(rename = "rollcall:provider_groups")]
    provider_groups: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Checks an id token.
///
/// # Errors
///
/// The first rule it breaks.
pub fn verify_id_token(
    token: &str,
    keys: &KeySet,
    expected: &Expectations<'_>,
) -> Result<IdClaims, TokenRefusal> {
    let claims = verify_signature(token, keys, &["JWT"])?;
    check_parties(&claims, expected)?;
    let expires_at = check_times(&claims, expected.now)?.expires_at;
    if let Some(expected) = expected.nonce {
        let nonce = claims.nonce.as_deref().ok_or(TokenRefusal::MissingNonce)?;
        if !constant_time_equal(nonce, expected) {
            return Err(TokenRefusal::WrongNonce);
        }
    }
    if expected.profile == ProviderProfile::Cognito && claims.token_use.as_deref() != Some("id") {
        return Err(TokenRefusal::WrongTokenUse);
    }
    if let Some(at_hash) = &claims.at_hash
        && !constant_time_equal(at_hash, &access_token_hash(expected.access_token))
    {
        return Err(TokenRefusal::WrongAccessTokenHash);
    }
    believe(claims, expected.profile, expires_at)
}

/// Checks an access token. An id token is refused even where it names the same parties: it says who
/// somebody is and allows nothing.
///
/// # Errors
///
/// The first rule it breaks.
pub fn verify_access_token(
    token: &str,
    keys: &KeySet,
    expected: &AccessExpectations<'_>,
) -> Result<AccessClaims, TokenRefusal> {
    let types: &[&str] = match expected.profile {
        ProviderProfile::Cognito => &["JWT"],
        ProviderProfile::Generic => &["at+jwt", "application/at+jwt"],
    };
    let claims = verify_signature(token, keys, types)?;
    if claims.iss.as_deref() != Some(expected.issuer) {
        return Err(TokenRefusal::WrongIssuer);
    }
    if expected.profile == ProviderProfile::Cognito && claims.token_use.as_deref() != Some("access")
    {
        return Err(TokenRefusal::WrongTokenUse);
    }
    let audiences = audiences(&claims);
    let for_us = expected.audience.is_some_and(|ours| audiences.iter().any(|one| one == ours));
    let for_nobody = expected.profile == ProviderProfile::Cognito && claims.aud.is_none();
    if !for_us && !for_nobody {
        return Err(TokenRefusal::WrongAudience);
    }
    let client_id = claims.client_id.as_ref().filter(|id| expected.client_ids.contains(id));
    let client_id = client_id.ok_or(TokenRefusal::WrongAuthorizedParty)?.clone();
    let Times { issued_at, expires_at } = check_times(&claims, expected.now)?;
    if expires_at.duration_since(issued_at) > ACCESS_TOKEN_LIFE_MAX {
        return Err(TokenRefusal::LivesTooLong);
    }
    let scopes = claims.scope.as_deref().unwrap_or_default().split(' ');
    Ok(AccessClaims {
        issuer: expected.issuer.to_owned(),
        subject: subject(claims.sub)?,
        client_id,
        scopes: scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        groups: groups(claims.cognito_groups.or(claims.groups)),
        origin_jti: claims.origin_jti,
        issued_at,
        expires_at,
    })
}

/// The claims of a token that the named key signed; `types` are those its header may name. A header
/// without a type counts as `JWT` (RFC 7519 §5.1).
fn verify_signature(token: &str, keys: &KeySet, types: &[&str]) -> Result<Claims, TokenRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefusal::TooLong);
    }
    let header = header(token)?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "ES256" => Algorithm::ES256,
        _ => return Err(TokenRefusal::UnsupportedAlgorithm),
    };
    if header.crit.is_some() {
        return Err(TokenRefusal::CriticalExtension);
    }
    let typ = header.typ.as_deref().unwrap_or("JWT");
    if !types.iter().any(|allowed| typ.eq_ignore_ascii_case(allowed)) {
        return Err(TokenRefusal::WrongType);
    }
    let kid = header.kid.ok_or(TokenRefusal::MissingKeyId)?;
    let mut refusal = TokenRefusal::UnknownKey;
    for key in keys.named(&kid) {
        if key.algorithm != algorithm {
            refusal = TokenRefusal::WrongKeyAlgorithm;
            continue;
        }
        match decode(token, key) {
            Ok(claims) => return Ok(claims),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

/// Read apart from the library, which cannot tell an algorithm it does not know from a token that is
/// not one.
fn header(token: &str) -> Result<Header, TokenRefusal> {
    let (header, _) = token.split_once('.').ok_or(TokenRefusal::Malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_malformed| TokenRefusal::Malformed)?;
    serde_json::from_slice(&header).map_err(|_malformed| TokenRefusal::Malformed)
}

/// Verifies the signature and reads the claims. The library's own claim checks are off: they read
/// the machine's clock.
fn decode(token: &str, key: &Key) -> Result<Claims, TokenRefusal> {
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode(token, &key.decoding, &validation).map(|data| data.claims).map_err(
        |error| match error.kind() {
            ErrorKind::InvalidSignature => TokenRefusal::WrongSignature,
            _ => TokenRefusal::Malformed,
        },
    )
}

/// Rules 2 to 5 of OpenID Connect Core §3.1.3.7.
fn check_parties(claims: &Claims, expected: &Expectations<'_>) -> Result<(), TokenRefusal> {
    if claims.iss.as_deref() != Some(expected.issuer) {
        return Err(TokenRefusal::WrongIssuer);
    }
    let audiences = audiences(claims);
    if !audiences.iter().any(|audience| audience == expected.client_id) {
        return Err(TokenRefusal::WrongAudience);
    }
    match claims.azp.as_deref() {
        Some(party) if party == expected.client_id => Ok(()),
        Some(_) => Err(TokenRefusal::WrongAuthorizedParty),
        None if audiences.len() > 1 => Err(TokenRefusal::MissingAuthorizedParty),
        None => Ok(()),
    }
}

fn audiences(claims: &Claims) -> &[String] {
    match &claims.aud {
        Some(Audience::One(audience)) => std::slice::from_ref(audience),
        Some(Audience::Several(audiences)) => audiences.as_slice(),
        None => &[],
    }
}

fn subject(claim: Option<String>) -> Result<String, TokenRefusal> {
    let usable = 1..=SUBJECT_CHARACTERS_MAX;
    claim
        .filter(|subject| usable.contains(&subject.chars().count()))
        .ok_or(TokenRefusal::UnusableSubject)
}

fn groups(claim: Option<Value>) -> Vec<String> {
    match claim {
        Some(Value::Array(groups)) => {
            groups.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// From when to when a token is valid.
struct Times {
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// Rules 9 and 10 of OpenID Connect Core §3.1.3.7.
fn check_times(claims: &Claims, now: Timestamp) -> Result<Times, TokenRefusal> {
    let expires_at = instant(claims.exp.ok_or(TokenRefusal::MissingExpiry)?)?;
    if now.duration_since(expires_at) >= SKEW {
        return Err(TokenRefusal::Expired);
    }
    let issued_at = instant(claims.iat.ok_or(TokenRefusal::MissingIssuedAt)?)?;
    if issued_at.duration_since(now) > SKEW {
        return Err(TokenRefusal::IssuedInFuture);
    }
    if let Some(not_before) = claims.nbf
        && instant(not_before)?.duration_since(now) > SKEW
    {
        return Err(TokenRefusal::NotYetValid);
    }
    Ok(Times { issued_at, expires_at })
}

/// A NumericDate, which may have a fraction (RFC 7519 §2).
fn instant(seconds: f64) -> Result<Timestamp, TokenRefusal> {
    SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since| Timestamp::from_duration(since).ok())
        .ok_or(TokenRefusal::Malformed)
}

/// OpenID Connect Core §3.1.3.6, for both algorithms that are allowed.
fn access_token_hash(access_token: &str) -> String {
    let digest = Sha256::digest(access_token.as_bytes());
    let (left, _) = digest.split_at(digest.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// Some providers write flags as text. Anything but a clear yes is a no.
fn is_yes(flag: Option<&Value>) -> bool {
    match flag {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "true",
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

/// What the user info endpoint tells about a person (OpenID Connect Core §5.3.2).
#[derive(Deserialize)]
pub(crate) struct UserInfo {
    sub: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    given_name: Option<String>,
    family_name: Option<String>,
}

impl IdClaims {
    /// The claims, with what only the user info tells; refused when it is somebody else's: whoever
    /// mixed up the access token would otherwise give one person the address of another.
    pub(crate) fn completed(self, info: UserInfo) -> Result<Self, OidcError> {
        if info.sub.as_deref() != Some(self.subject.as_str()) {
            return Err(OidcError::WrongUserInfo);
        }
        let (email, email_verified) = match self.email {
            Some(email) => (Some(email), self.email_verified),
            None => (info.email, is_yes(info.email_verified.as_ref())),
        };
        Ok(Self {
            email_verified: email_verified && email.is_some(),
            email,
            given_name: self.given_name.or(info.given_name),
            family_name: self.family_name.or(info.family_name),
            ..self
        })
    }
}

fn believe(
    claims: Claims,
    profile: ProviderProfile,
    expires_at: Timestamp,
) -> Result<IdClaims, TokenRefusal> {
    let subject = subject(claims.sub)?;
    let email_verified = is_yes(claims.email_verified.as_ref());
    // Only at Cognito is the name ours; another provider may let people write claims.
    let own = claims.provider_groups.filter(|_| profile == ProviderProfile::Cognito);
    Ok(IdClaims {
        issuer: claims.iss.ok_or(TokenRefusal::WrongIssuer)?,
        subject,
        email: claims.email,
        email_verified,
        given_name: claims.given_name,
        family_name: claims.family_name,
        username: claims.cognito_username.or(claims.preferred_username),
        groups: groups(own.or(claims.cognito_groups).or(claims.groups)),
        origin_jti: claims.origin_jti,
        authenticated_at: claims.auth_time.map(instant).transpose()?,
        expires_at,
    })
}

#[cfg(test)]
mod tests;
