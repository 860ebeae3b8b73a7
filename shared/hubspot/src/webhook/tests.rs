//! Signatures that hold and that do not, and events of older and newer apps.

use super::*;

const URL: &str = "https://api.rollcall.example/webhooks/hubspot";
const BODY: &[u8] = br#"[{"eventId":1}]"#;
const SENT_MS: i64 = 1_742_077_073_905;

fn sign(secret: &str, request: &SignedRequest<'_>) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in [request.method.as_bytes(), request.url.as_bytes(), request.body] {
        mac.update(part);
    }
    mac.update(request.timestamp.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn request<'request>(
    timestamp: &'request str,
    signature: &'request str,
) -> SignedRequest<'request> {
    SignedRequest { method: "POST", url: URL, body: BODY, timestamp, signature }
}

#[test]
fn a_request_is_fresh_five_minutes_long_on_both_sides() {
    for (offset_ms, fresh) in [
        (0, true),
        (SIGNATURE_AGE_MS_MAX, true),
        (SIGNATURE_AGE_MS_MAX + 1, false),
        (-SIGNATURE_AGE_MS_MAX, true),
        (-SIGNATURE_AGE_MS_MAX - 1, false),
    ] {
        let now = Timestamp::from_millisecond(SENT_MS + offset_ms).unwrap();
        assert_eq!(request(&SENT_MS.to_string(), "").is_fresh(now), fresh, "{offset_ms}");
    }
    for nonsense in ["", "now", "-9223372036854775808", "9223372036854775807", "1742077073.905"] {
        let now = Timestamp::from_millisecond(SENT_MS).unwrap();
        assert!(!request(nonsense, "").is_fresh(now), "{nonsense}");
    }
}

#[test]
fn only_who_knows_the_secret_signs_and_everything_is_signed() {
    let (secret, timestamp) = (Secret::new("secret"), SENT_MS.to_string());
    let signature = sign("secret", &request(&timestamp, ""));
    let signed = request(&timestamp, &signature);
    assert!(signed.is_signed_with(&secret));
    assert!(signed.is_signed_with(&Secret::new("secret\n")));
    for changed in [
        SignedRequest { method: "PUT", ..signed },
        SignedRequest { url: "https://other.example/webhooks/hubspot", ..signed },
        SignedRequest { body: br#"[{"eventId":2}]"#, ..signed },
        SignedRequest { timestamp: "1742077073906", ..signed },
        SignedRequest { signature: "", ..signed },
        SignedRequest { signature: "no base64!", ..signed },
        SignedRequest { signature: &signature[..20], ..signed },
    ] {
        assert!(!changed.is_signed_with(&secret), "{changed:?}");
    }
    assert!(!signed.is_signed_with(&Secret::new("other")));
    // HubSpot signs the URL with these decoded.
    let odd = SignedRequest { url: "https://a.example/x%3Ay%2fz?a=b", ..signed };
    let plain = SignedRequest { url: "https://a.example/x:y/z?a=b", ..signed };
    let signature = sign("secret", &plain);
    assert!(SignedRequest { signature: &signature, ..odd }.is_signed_with(&secret));
}

fn event(fields: &serde_json::Value) -> serde_json::Value {
    let mut event = serde_json::json!({
        "eventId": 3_400_564_480_u64, "subscriptionId": 3_329_277, "portalId": 49_547_190,
        "appId": 9_393_361, "occurredAt": SENT_MS, "attemptNumber": 0, "objectId": 501,
        "changeSource": "CRM_UI",
    });
    let fields = fields.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(fields);
    event
}

#[track_caller]
fn check(fields: &serde_json::Value, expected: Option<(Happened, Author)>) {
    let body = serde_json::json!([event(fields)]).to_string();
    let found = notices(body.as_bytes(), "9393361").unwrap().remove(0);
    let expected = expected.map(|(happened, author)| {
        let at = Timestamp::from_millisecond(SENT_MS).unwrap();
        (Notice { id: "49547190-3329277-3400564480".to_owned(), at, happened }, author)
    });
    assert_eq!(found, expected, "{fields}");
}

#[test]
fn events_of_old_and_new_apps_say_the_same() {
    use Author::{Other, Us};
    use serde_json::json;
    let contact = || "501".to_owned();
    let changed = Happened::Changed { contact: contact(), property: "email".to_owned() };
    let change = json!({ "subscriptionType": "contact.propertyChange", "propertyName": "email" });
    check(&change, Some((changed.clone(), Other)));
    let mut by_app = change;
    for (source, app, author) in [
        ("INTEGRATION", json!("9393361"), Us),
        ("INTEGRATION", json!(null), Us),
        ("INTEGRATION", json!("77"), Other),
        ("API", json!("9393361"), Other),
    ] {
        by_app["changeSource"] = json!(source);
        by_app["sourceId"] = app;
        check(&by_app, Some((changed.clone(), author)));
    }
    let erased = Some((Happened::Erased { contact: contact() }, Other));
    check(&json!({ "subscriptionType": "contact.privacyDeletion" }), erased.clone());
    check(&json!({ "eventType": "object.privacyDeletion", "objectTypeId": "0-1" }), erased);
    check(&json!({ "eventType": "object.privacyDeletion", "objectTypeId": "0-2" }), None);
    let archived = Some((Happened::Archived { contact: contact() }, Other));
    check(&json!({ "subscriptionType": "contact.deletion" }), archived);
    let merged = Happened::Merged {
        primary: "1".to_owned(),
        merged: vec!["2".to_owned()],
        survivor: "3".to_owned(),
    };
    let merge = json!({ "subscriptionType": "contact.merge", "primaryObjectId": 1,
        "mergedObjectIds": ["2"], "newObjectId": 3 });
    check(&merge, Some((merged, Other)));
    for other in ["contact.creation", "contact.associationChange", "deal.deletion", "nonsense"] {
        check(&json!({ "subscriptionType": other }), None);
    }
    check(&json!({ "subscriptionType": "contact.deletion", "objectId": null }), None);
}

#[test]
fn what_is_no_list_of_events_is_refused() {
    for body in ["", "{}", "[{}]", "[1]", r#"{"eventId":1}"#] {
        assert!(notices(body.as_bytes(), "1").is_err(), "{body}");
    }
    let deletion = event(&serde_json::json!({ "subscriptionType": "contact.deletion" }));
    let many = serde_json::json!(vec![deletion; NOTICES_MAX + 1]).to_string();
    assert!(matches!(notices(many.as_bytes(), "1"), Err(InvalidEvents::TooMany(_))));
    assert_eq!(notices(b"[]", "1").unwrap(), []);
}
