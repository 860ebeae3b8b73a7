//! Hostile tokens, each refused for its own reason.

use std::sync::OnceLock;

use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example/pool";
const ACCESS_TOKEN: &str = "access-token-of-this-sign-in";

struct Rsa {
    signing: EncodingKey,
    public_pem: String,
}

fn generate() -> Rsa {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs1_pem(LineEnding::LF).unwrap();
    Rsa {
        signing: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        public_pem: RsaPublicKey::from(&key).to_public_key_pem(LineEnding::LF).unwrap(),
    }
}

fn ours() -> &'static Rsa {
    static KEY: OnceLock<Rsa> = OnceLock::new();
    KEY.get_or_init(generate)
}

fn theirs() -> &'static Rsa {
    static KEY: OnceLock<Rsa> = OnceLock::new();
    KEY.get_or_init(generate)
}

/// A P-256 key in PKCS#8 (RFC 5915 §3) whose secret is the number 7 repeated.
fn elliptic() -> EncodingKey {
    let mut der = vec![0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07];
    der.extend([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE]);
    der.extend([0x3D, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20]);
    der.extend([7_u8; 32]);
    EncodingKey::from_ec_der(&der)
}

fn jwk(kid: &str, key: &EncodingKey, algorithm: Algorithm) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk
}

fn key_set(keys: &Value) -> KeySet {
    KeySet::of(serde_json::from_value(json!({ "keys": keys })).unwrap())
}

fn provider_keys() -> KeySet {
    key_set(&json!([
        jwk("rsa-1", &ours().signing, Algorithm::RS256),
        jwk("ec-1", &elliptic(), Algorithm::ES256),
        jwk("twice", &theirs().signing, Algorithm::RS256),
        jwk("twice", &ours().signing, Algorithm::RS256),
    ]))
}

enum Signature {
    By(EncodingKey, Algorithm),
    Is(&'static str),
}

/// A token of the provider, before somebody tampers with it.
struct Token {
    header: Value,
    claims: Value,
    signature: Signature,
}

fn good() -> Token {
    Token {
        header: json!({"alg": "RS256", "kid": "rsa-1"}),
        claims: json!({
            "iss": ISSUER, "sub": "3b9d2f7e", "aud": "web", "token_use": "id", "nonce": "n-1",
            "iat": NOW, "exp": NOW + 3600, "auth_time": NOW - 5,
            "at_hash": access_token_hash(ACCESS_TOKEN), "origin_jti": "o-1",
            "email": "ada@example.org", "email_verified": true,
            "cognito:username": "ada", "cognito:groups": ["admin"],
        }),
        signature: Signature::By(ours().signing.clone(), Algorithm::RS256),
    }
}

impl Token {
    fn encode(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = match &self.signature {
            Signature::Is(text) => (*text).to_owned(),
            Signature::By(key, algorithm) => {
                jsonwebtoken::crypto::sign(message.as_bytes(), key, *algorithm).unwrap()
            }
        };
        format!("{message}.{signature}")
    }
}

fn verdict(token: &str, profile: ProviderProfile) -> Result<IdClaims, TokenRefusal> {
    let expected = Expectations {
        issuer: ISSUER,
        client_id: "web",
        profile,
        nonce: Some("n-1"),
        access_token: ACCESS_TOKEN,
        now: Timestamp::from_second(NOW).unwrap(),
    };
    verify_id_token(token, &provider_keys(), &expected)
}

/// Changes a good token and says what becomes of it; `None` is belief.
fn check(name: &str, expected: Option<TokenRefusal>, change: impl FnOnce(&mut Token)) {
    let mut token = good();
    change(&mut token);
    assert_eq!(verdict(&token.encode(), ProviderProfile::Cognito).err(), expected, "{name}");
}

fn claim(name: &str, value: Value, expected: Option<TokenRefusal>) {
    let text = format!("{name} = {value}");
    check(&text, expected, |token| match value {
        Value::Null => drop(token.claims.as_object_mut().unwrap().remove(name)),
        value => token.claims[name] = value,
    });
}

fn header_field(name: &str, value: Value, expected: Option<TokenRefusal>) {
    let text = format!("header {name} = {value}");
    check(&text, expected, |token| match value {
        Value::Null => drop(token.header.as_object_mut().unwrap().remove(name)),
        value => token.header[name] = value,
    });
}

#[test]
fn a_good_token_says_who_signed_in() {
    let claims = verdict(&good().encode(), ProviderProfile::Cognito).ok().unwrap();
    assert_eq!((claims.issuer.as_str(), claims.subject.as_str()), (ISSUER, "3b9d2f7e"));
    assert_eq!(claims.email.as_deref(), Some("ada@example.org"));
    assert!(claims.email_verified);
    assert_eq!(claims.username.as_deref(), Some("ada"));
    assert_eq!(claims.groups, ["admin"]);
    assert_eq!(claims.origin_jti.as_deref(), Some("o-1"));
    assert_eq!(claims.authenticated_at.unwrap().as_second(), NOW - 5);
    assert_eq!(claims.expires_at.as_second(), NOW + 3600);
}

#[test]
fn groups_that_a_user_pool_shows_in_our_name_are_not_taken_for_its_own() {
    let groups = |own: Option<Value>, profile| {
        let mut token = good();
        token.claims["cognito:groups"] = json!(["admin", "recruiter"]);
        if let Some(own) = own {
            token.claims[PROVIDER_GROUPS] = own;
        }
        verdict(&token.encode(), profile).ok().unwrap().groups
    };
    let cognito = ProviderProfile::Cognito;
    assert_eq!(groups(None, cognito), ["admin", "recruiter"]);
    assert_eq!(groups(Some(json!(["recruiter"])), cognito), ["recruiter"]);
    assert_eq!(groups(Some(json!([])), cognito), [""; 0]);
    // Elsewhere the claim may be anybody's.
    let elsewhere = groups(Some(json!(["instructor"])), ProviderProfile::Generic);
    assert_eq!(elsewhere, ["admin", "recruiter"]);
}

#[test]
fn a_token_of_another_party_is_refused() {
    use TokenRefusal::{
        MissingAuthorizedParty, UnusableSubject, WrongAudience, WrongAuthorizedParty, WrongIssuer,
    };
    claim("iss", json!("https://id.example/pool/"), Some(WrongIssuer));
    claim("iss", json!("https://ID.example/pool"), Some(WrongIssuer));
    claim("iss", Value::Null, Some(WrongIssuer));
    claim("aud", json!("other"), Some(WrongAudience));
    claim("aud", json!("we"), Some(WrongAudience));
    claim("aud", json!([]), Some(WrongAudience));
    claim("aud", Value::Null, Some(WrongAudience));
    claim("aud", json!(["web"]), None);
    claim("aud", json!(["web", "other"]), Some(MissingAuthorizedParty));
    claim("azp", json!("other"), Some(WrongAuthorizedParty));
    claim("azp", json!("web"), None);
    check("several audiences, issued to us", None, |token| {
        token.claims["aud"] = json!(["other", "web"]);
        token.claims["azp"] = json!("web");
    });
    claim("sub", Value::Null, Some(UnusableSubject));
    claim("sub", json!(""), Some(UnusableSubject));
    claim("sub", json!("s".repeat(256)), Some(UnusableSubject));
    claim("sub", json!("s".repeat(255)), None);
}

#[test]
fn a_token_of_another_time_is_refused_with_a_minute_of_tolerance() {
    use TokenRefusal::{
        Expired, IssuedInFuture, Malformed, MissingExpiry, MissingIssuedAt, NotYetValid,
    };
    claim("exp", Value::Null, Some(MissingExpiry));
    claim("exp", json!(NOW - 60), Some(Expired));
    claim("exp", json!(NOW - 59), None);
    claim("exp", json!(0), Some(Expired));
    claim("exp", json!(1e300), Some(Malformed));
    claim("exp", json!("1900000000"), Some(Malformed));
    claim("iat", Value::Null, Some(MissingIssuedAt));
    claim("iat", json!(NOW + 61), Some(IssuedInFuture));
    claim("iat", json!(NOW + 60), None);
    claim("nbf", json!(NOW + 61), Some(NotYetValid));
    claim("nbf", json!(NOW), None);
}

#[test]
fn a_token_of_another_sign_in_or_use_is_refused() {
    use TokenRefusal::{MissingNonce, WrongAccessTokenHash, WrongNonce, WrongTokenUse};
    claim("nonce", Value::Null, Some(MissingNonce));
    claim("nonce", json!("n-2"), Some(WrongNonce));
    claim("nonce", json!(""), Some(WrongNonce));
    claim("token_use", json!("access"), Some(WrongTokenUse));
    claim("token_use", Value::Null, Some(WrongTokenUse));
    claim("at_hash", json!(access_token_hash("another")), Some(WrongAccessTokenHash));
    claim("at_hash", Value::Null, None);
    let mut token = good();
    token.claims["token_use"] = Value::Null;
    assert!(verdict(&token.encode(), ProviderProfile::Generic).is_ok());
}

#[test]
fn a_token_that_the_named_key_did_not_sign_is_refused() {
    use TokenRefusal::{
        MissingKeyId, UnknownKey, UnsupportedAlgorithm, WrongKeyAlgorithm, WrongSignature,
    };
    check("none, without a signature", Some(UnsupportedAlgorithm), |token| {
        token.header["alg"] = json!("none");
        token.signature = Signature::Is("");
    });
    header_field("alg", json!("nOnE"), Some(UnsupportedAlgorithm));
    check("hmac with the public key", Some(UnsupportedAlgorithm), |token| {
        token.header["alg"] = json!("HS256");
        let secret = EncodingKey::from_secret(ours().public_pem.as_bytes());
        token.signature = Signature::By(secret, Algorithm::HS256);
    });
    check("a stronger algorithm of the same key", Some(UnsupportedAlgorithm), |token| {
        token.header["alg"] = json!("RS512");
        token.signature = Signature::By(ours().signing.clone(), Algorithm::RS512);
    });
    check("another key under our name", Some(WrongSignature), |token| {
        token.signature = Signature::By(theirs().signing.clone(), Algorithm::RS256);
    });
    check("no signature", Some(WrongSignature), |token| {
        token.signature = Signature::Is("");
    });
    header_field("kid", json!("rsa-2"), Some(UnknownKey));
    header_field("kid", Value::Null, Some(MissingKeyId));
    header_field("kid", json!("ec-1"), Some(WrongKeyAlgorithm));
    header_field("kid", json!("twice"), None);
    check("elliptic curve", None, |token| {
        token.header = json!({"alg": "ES256", "kid": "ec-1"});
        token.signature = Signature::By(elliptic(), Algorithm::ES256);
    });
    let honest = good().encode();
    let (message, signature) = honest.rsplit_once('.').unwrap();
    let mut other = good();
    other.claims["sub"] = json!("root");
    let other = other.encode();
    let (forged, _) = other.rsplit_once('.').unwrap();
    assert_ne!(forged, message);
    let verdict = verdict(&format!("{forged}.{signature}"), ProviderProfile::Cognito);
    assert_eq!(verdict.err(), Some(WrongSignature));
}

#[test]
fn a_text_that_is_no_id_token_is_refused() {
    use TokenRefusal::{CriticalExtension, Malformed, TooLong, WrongType};
    header_field("typ", json!("at+jwt"), Some(WrongType));
    header_field("typ", json!("logout+jwt"), Some(WrongType));
    header_field("typ", json!("jwt"), None);
    header_field("crit", json!(["b64"]), Some(CriticalExtension));
    claim("email", json!(["ada@example.org"]), Some(Malformed));
    check("claims that are no object", Some(Malformed), |token| {
        token.claims = json!([1]);
    });
    check("a long token", Some(TooLong), |token| {
        token.claims["x"] = json!("x".repeat(16 * 1024));
    });
    let honest = good().encode();
    for text in ["", ".", "..", "a.b.c", "{}", &format!("{honest}.x"), &format!(" {honest}")] {
        let verdict = verdict(text, ProviderProfile::Cognito);
        assert_eq!(verdict.err(), Some(Malformed), "{text:?}");
    }
}

#[test]
fn only_a_clear_yes_verifies_an_e_mail_address() {
    for (value, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!("yes"), false),
        (json!(1), false),
        (Value::Null, false),
    ] {
        let mut token = good();
        token.claims["email_verified"] = value.clone();
        let claims = verdict(&token.encode(), ProviderProfile::Cognito).ok().unwrap();
        assert_eq!(claims.email_verified, expected, "{value}");
    }
}

#[test]
fn only_keys_that_may_verify_our_algorithms_are_kept() {
    let key = serde_json::to_value(jwk("rsa-1", &ours().signing, Algorithm::RS256)).unwrap();
    let small = json!(URL_SAFE_NO_PAD.encode([0xFF; 128]));
    for (name, value, kept) in [
        ("kid", json!("rsa-1"), true),
        ("alg", Value::Null, true),
        ("use", Value::Null, true),
        ("kid", Value::Null, false),
        ("use", json!("enc"), false),
        ("alg", json!("RS512"), false),
        ("alg", json!("HS256"), false),
        ("kty", json!("oct"), false),
        ("kty", json!("new-kind"), false),
        ("n", small, false),
        ("n", json!("!"), false),
    ] {
        let mut key = key.clone();
        let fields = key.as_object_mut().unwrap();
        let text = format!("{name} = {value}");
        match value {
            Value::Null => drop(fields.remove(name)),
            value => drop(fields.insert(name.to_owned(), value)),
        }
        assert_eq!(key_set(&json!(["noise", key])).is_empty(), !kept, "{text}");
    }
}

/// A good access token as Cognito makes them.
fn access() -> Token {
    Token {
        claims: json!({
            "iss": ISSUER, "sub": "3b9d2f7e", "client_id": "web", "token_use": "access",
            "scope": "openid email", "iat": NOW, "exp": NOW + 3600, "origin_jti": "o-1",
            "username": "ada", "cognito:groups": ["admin"],
        }),
        ..good()
    }
}

/// A good access token of RFC 9068.
fn standard_access() -> Token {
    let mut token = access();
    token.header["typ"] = json!("at+jwt");
    token.claims["aud"] = json!(["https://api.example"]);
    token.claims.as_object_mut().unwrap().remove("token_use");
    token
}

fn access_verdict(token: &str, profile: ProviderProfile) -> Result<AccessClaims, TokenRefusal> {
    let expected = AccessExpectations {
        issuer: ISSUER,
        client_ids: &["web".to_owned(), "machine".to_owned()],
        profile,
        audience: Some("https://api.example"),
        now: Timestamp::from_second(NOW).unwrap(),
    };
    verify_access_token(token, &provider_keys(), &expected)
}

fn check_access(name: &str, token: &Token, profile: ProviderProfile, expected: TokenRefusal) {
    assert_eq!(access_verdict(&token.encode(), profile).err(), Some(expected), "{name}");
}

#[test]
fn a_good_access_token_says_what_it_allows() {
    for (token, profile) in
        [(access(), ProviderProfile::Cognito), (standard_access(), ProviderProfile::Generic)]
    {
        let claims = access_verdict(&token.encode(), profile).ok().unwrap();
        assert_eq!((claims.issuer.as_str(), claims.subject.as_str()), (ISSUER, "3b9d2f7e"));
        assert_eq!(claims.client_id, "web");
        assert_eq!(claims.scopes, ["openid", "email"]);
        assert_eq!(claims.groups, ["admin"]);
        assert_eq!(
            (claims.issued_at.as_second(), claims.expires_at.as_second()),
            (NOW, NOW + 3600)
        );
    }
    let mut machine = access();
    machine.claims["client_id"] = json!("machine");
    let claims = access_verdict(&machine.encode(), ProviderProfile::Cognito).ok().unwrap();
    assert_eq!(claims.client_id, "machine");
    let mut bound = access();
    bound.claims["aud"] = json!("https://api.example");
    assert!(access_verdict(&bound.encode(), ProviderProfile::Cognito).is_ok());
}

#[test]
fn hostile_access_tokens_are_each_refused_for_their_own_reason() {
    use ProviderProfile::{Cognito, Generic};
    use TokenRefusal as Refusal;
    let id_token = good();
    check_access("an id token", &id_token, Cognito, Refusal::WrongTokenUse);
    check_access("an id token, by type", &id_token, Generic, Refusal::WrongType);
    check_access("no type", &access(), Generic, Refusal::WrongType);
    for (name, value, expected) in [
        ("iss", json!("https://id.example/other"), Refusal::WrongIssuer),
        ("iss", Value::Null, Refusal::WrongIssuer),
        ("token_use", json!("id"), Refusal::WrongTokenUse),
        ("token_use", Value::Null, Refusal::WrongTokenUse),
        ("aud", json!("https://other.example"), Refusal::WrongAudience),
        ("aud", json!([]), Refusal::WrongAudience),
        ("client_id", json!("another-client"), Refusal::WrongAuthorizedParty),
        ("client_id", Value::Null, Refusal::WrongAuthorizedParty),
        ("exp", json!(NOW - 60), Refusal::Expired),
        ("exp", Value::Null, Refusal::MissingExpiry),
        ("exp", json!(NOW + 86_401), Refusal::LivesTooLong),
        ("iat", json!(NOW + 61), Refusal::IssuedInFuture),
        ("iat", Value::Null, Refusal::MissingIssuedAt),
        ("nbf", json!(NOW + 61), Refusal::NotYetValid),
        ("sub", json!(""), Refusal::UnusableSubject),
        ("scope", json!(["openid"]), Refusal::Malformed),
    ] {
        let mut token = access();
        token.claims[name] = value.clone();
        check_access(&format!("{name} = {value}"), &token, Cognito, expected);
    }
    for (name, value, expected) in [
        ("alg", json!("none"), Refusal::UnsupportedAlgorithm),
        ("alg", json!("HS256"), Refusal::UnsupportedAlgorithm),
        ("kid", Value::Null, Refusal::MissingKeyId),
        ("kid", json!("rsa-2"), Refusal::UnknownKey),
        ("crit", json!(["b64"]), Refusal::CriticalExtension),
        ("typ", json!("logout+jwt"), Refusal::WrongType),
    ] {
        let mut token = access();
        token.header[name] = value.clone();
        check_access(&format!("header {name} = {value}"), &token, Cognito, expected);
    }
    let forged = Token { signature: Signature::Is(""), ..access() };
    check_access("no signature", &forged, Cognito, Refusal::WrongSignature);
    let mut nobody = standard_access();
    nobody.claims["aud"] = Value::Null;
    check_access("for nobody", &nobody, Generic, Refusal::WrongAudience);
    for text in ["", ".", "a.b.c", "{}"] {
        let refused = access_verdict(text, Cognito).err();
        assert_eq!(refused, Some(Refusal::Malformed), "{text:?}");
    }
}

#[test]
fn after_a_refresh_no_nonce_is_expected() {
    let mut token = good();
    token.claims["nonce"] = Value::Null;
    let expected = Expectations {
        issuer: ISSUER,
        client_id: "web",
        profile: ProviderProfile::Cognito,
        nonce: None,
        access_token: ACCESS_TOKEN,
        now: Timestamp::from_second(NOW).unwrap(),
    };
    assert!(verify_id_token(&token.encode(), &provider_keys(), &expected).is_ok());
}

#[test]
fn user_info_adds_what_the_id_token_left_out_and_only_about_the_same_person() {
    let claims = |email: Option<&str>| IdClaims {
        issuer: ISSUER.to_owned(),
        subject: "ada".to_owned(),
        email: email.map(str::to_owned),
        email_verified: email.is_some(),
        given_name: None,
        family_name: Some("Lovelace".to_owned()),
        username: None,
        groups: Vec::new(),
        origin_jti: None,
        authenticated_at: None,
        expires_at: Timestamp::from_second(NOW).unwrap(),
    };
    let complete = |email: Option<&str>, info: Value| {
        claims(email).completed(serde_json::from_value(info).unwrap())
    };
    for sub in [json!("bob"), json!(""), json!("Ada"), Value::Null] {
        let info = json!({ "sub": sub, "email": "bob@example.org", "email_verified": true });
        let refused = complete(None, info);
        assert!(matches!(refused, Err(OidcError::WrongUserInfo)), "{sub}");
    }
    let told = |verified: Value| {
        json!({
            "sub": "ada",
            "email": "ada@example.org",
            "email_verified": verified,
            "given_name": "Ada",
            "family_name": "Byron",
        })
    };
    for (verified, expected) in
        [(json!(true), true), (json!("true"), true), (json!("yes"), false), (Value::Null, false)]
    {
        let found = complete(None, told(verified)).ok().unwrap();
        assert_eq!(
            (found.email.as_deref(), found.email_verified),
            (Some("ada@example.org"), expected)
        );
        let names = (found.given_name.as_deref(), found.family_name.as_deref());
        assert_eq!(names, (Some("Ada"), Some("Lovelace")));
    }
    let found = complete(Some("own@example.org"), told(json!(false))).ok().unwrap();
    assert_eq!((found.email.as_deref(), found.email_verified), (Some("own@example.org"), true));
}
