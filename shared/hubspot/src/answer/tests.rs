//! What each answer of HubSpot means, as a table.

use reqwest::header::{HeaderName, HeaderValue};
use rollcall_crm::port::Address;
use rollcall_crm::projection::Properties;
use rollcall_domain::facet::Facet;
use serde_json::json;

use super::*;

fn input(number: u8) -> Input {
    let user: rollcall_domain::id::UserId = format!("usr_{number:032x}").parse().unwrap();
    Input {
        user: user.clone(),
        facets: vec![Facet::Identity],
        address: Address::UserId(user),
        properties: Properties::new(),
    }
}

fn trace_id(number: u8) -> String {
    input(number).user.to_string()
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(header).collect(),
        body: Some(body.as_bytes().to_vec()),
    }
}

fn batch(body: &Value) -> BatchAnswer {
    serde_json::from_value(body.clone()).unwrap()
}

/// Inputs 1 to 3 are sent; `expected` are their contact or the category of their failure.
fn check_written(body: &Value, expected: Option<&[(u8, Result<&str, &str>)]>) {
    let outcome = written(&[input(1), input(2), input(3)], &batch(body));
    let Some(expected) = expected else {
        assert_eq!(outcome, CallOutcome::Unknown, "{body}");
        return;
    };
    let CallOutcome::Answered(results) = outcome else { panic!("{body}: {outcome:?}") };
    let expected = expected.iter().map(|(number, result)| match result {
        Ok(contact) => {
            (trace_id(*number), ItemResult::Written { contact_id: (*contact).to_owned() })
        }
        Err(category) => {
            let category = (*category).to_owned();
            let failure = Failure { status: ITEM, category, ..Failure::default() };
            (trace_id(*number), ItemResult::Failed(failure))
        }
    });
    assert_eq!(results, expected.collect(), "{body}");
}

#[test]
fn results_belong_to_whom_their_trace_id_names_and_to_nobody_else() {
    let written = |number: u8, id: Value| json!({"id": id, "objectWriteTraceId": trace_id(number)});
    let failed = |category: &str, trace_ids: Value| json!({"category": category, "context": {"objectWriteTraceId": trace_ids}});
    // Any order; what is not named is not known.
    check_written(
        &json!({"results": [written(3, json!("503")), written(1, json!("501"))]}),
        Some(&[(1, Ok("501")), (3, Ok("503"))]),
    );
    check_written(
        &json!({"results": [written(1, json!("501"))],
                "errors": [failed("CONFLICT", json!([trace_id(2), trace_id(3)]))]}),
        Some(&[(1, Ok("501")), (2, Err("CONFLICT")), (3, Err("CONFLICT"))]),
    );
    // An error without a trace id, and one with somebody else's.
    check_written(
        &json!({"results": [written(1, json!("501"))],
                "errors": [{"category": "CONFLICT", "context": {"ids": [trace_id(2)]}},
                           failed("CONFLICT", json!([trace_id(9)])), failed("CONFLICT", json!([]))]}),
        Some(&[(1, Ok("501"))]),
    );
    // A result without a trace id, one that is not ours, and two without a contact.
    check_written(
        &json!({"results": [{"id": "501"}, written(9, json!("509")), written(1, json!("x")),
                            written(2, json!(502)), written(3, json!("503"))]}),
        Some(&[(3, Ok("503"))]),
    );
    // Contradictions are not believed.
    check_written(
        &json!({"results": [written(1, json!("501"))],
                "errors": [failed("CONFLICT", json!([trace_id(1)]))]}),
        Some(&[(1, Err("CONFLICT"))]),
    );
}

#[test]
fn an_answer_that_says_nothing_about_any_input_is_none() {
    for body in [
        json!({}),
        json!({"status": "COMPLETE", "results": [], "errors": []}),
        json!({"status": "PENDING", "results": null}),
        json!({"results": "many", "errors": 0}),
        json!({"results": [{"id": "501"}]}),
        json!({"results": [], "errors": [{"category": "VALIDATION_ERROR"}]}),
    ] {
        check_written(&body, None);
    }
}

fn check_failure(body: &Value, expected: (&str, &str, &str)) {
    let failure = answer(400, &[], &body.to_string()).failure();
    let found = (failure.category.as_str(), failure.message.as_str(), failure.policy.as_str());
    assert_eq!(found, expected, "{body}");
    assert_eq!(failure.status, 400);
}

#[test]
fn every_field_of_an_error_is_optional() {
    check_failure(&json!({}), ("", "", ""));
    check_failure(&json!("no"), ("", "", ""));
    check_failure(
        &json!({"category": 1, "message": null, "errors": {}, "context": []}),
        ("", "", ""),
    );
    check_failure(
        &json!({"category": "C", "subCategory": "c.S", "message": "m of a@b.c"}),
        ("C", "m of … c.S", ""),
    );
    check_failure(
        &json!({"category": "C", "subCategory": {}, "message": "m", "errors": [{"code": "X"}]}),
        ("C", "m X", ""),
    );
    check_failure(&json!({"message": "m", "errors": [{}, {"code": "X"}]}), ("X", "m X", ""));
    check_failure(
        &json!({"errorType": "RATE_LIMIT", "message": "m", "policyName": "DAILY"}),
        ("RATE_LIMIT", "m", "DAILY"),
    );
}

fn check_quota(headers: &[(&'static str, &str)], expected: Quota) {
    assert_eq!(answer(200, headers, "").quota(), expected, "{headers:?}");
}

#[test]
fn limits_are_read_when_they_are_whole() {
    let (max, interval) = ("x-hubspot-ratelimit-max", "x-hubspot-ratelimit-interval-milliseconds");
    let (daily, left) = ("x-hubspot-ratelimit-daily", "x-hubspot-ratelimit-daily-remaining");
    check_quota(&[], Quota::default());
    check_quota(
        &[
            (max, "190"),
            (interval, "10000"),
            (daily, "650000"),
            (left, "649999"),
            ("x-hubspot-ratelimit-remaining", "189"),
        ],
        Quota { limit: Some((190, 10_000)), remaining: Some(189), daily: Some((650_000, 649_999)) },
    );
    check_quota(&[(max, "190"), (daily, "650000")], Quota::default());
    check_quota(&[(max, "-1"), (interval, "10000"), (left, "x")], Quota::default());
    check_quota(&[("x-hubspot-ratelimit-secondly-remaining", "0")], Quota::default());
}

/// The outcome of a call that ended with this status, by name.
fn outcome(exchange: Exchange) -> &'static str {
    match exchange.success::<BatchAnswer>() {
        Ok(_) => "success",
        Err(reply) => match reply.outcome {
            CallOutcome::Answered(_) => "answered",
            CallOutcome::Refused(_) => "refused",
            CallOutcome::NotSent => "not sent",
            CallOutcome::Unknown => "unknown",
        },
    }
}

#[test]
fn a_call_that_may_have_been_carried_out_is_never_called_refused() {
    for (status, expected) in [
        (200, "success"),
        (207, "success"),
        (302, "refused"),
        (400, "refused"),
        (408, "refused"),
        (500, "refused"),
        (502, "unknown"),
        (503, "refused"),
        (504, "unknown"),
        (520, "unknown"),
        (521, "refused"),
        (522, "refused"),
        (524, "unknown"),
    ] {
        let found = outcome(Exchange::Answered(answer(status, &[], "{}")));
        assert_eq!(found, expected, "{status}");
    }
    assert_eq!(outcome(Exchange::NotSent), "not sent");
    assert_eq!(outcome(Exchange::Unanswered), "unknown");
    for body in ["", "<html>", "null", "{\"results\":"] {
        assert_eq!(outcome(Exchange::Answered(answer(200, &[], body))), "unknown", "{body}");
    }
    let broken = |status| Exchange::Answered(Answer::bare(status));
    assert_eq!(outcome(broken(StatusCode::OK)), "unknown");
    assert_eq!(outcome(broken(StatusCode::TOO_MANY_REQUESTS)), "refused");
}

#[test]
fn retry_after_counts_in_seconds() {
    for (value, seconds) in
        [("0", Some(0)), ("3600", Some(3_600)), ("-1", None), ("soon", None), ("1.5", None)]
    {
        let failure = answer(477, &[("retry-after", value)], "").failure();
        assert_eq!(failure.retry_after, seconds.map(SignedDuration::from_secs), "{value}");
    }
}

#[test]
fn a_schema_is_declared_when_every_property_is_there() {
    let exists = json!({"category": ALREADY_EXISTS});
    let done = |body: &Value| match properties_declared(2, &batch(body)) {
        CallOutcome::Answered(_) => "done",
        CallOutcome::Refused(failure) => {
            assert_eq!((failure.status, failure.category.as_str()), (ITEM, "VALIDATION_ERROR"));
            "refused"
        }
        CallOutcome::Unknown => "unknown",
        CallOutcome::NotSent => "not sent",
    };
    assert_eq!(done(&json!({"results": [{}, {}]})), "done");
    assert_eq!(done(&json!({"results": [{}], "errors": [exists]})), "done");
    assert_eq!(done(&json!({"errors": [exists, exists]})), "done");
    assert_eq!(done(&json!({"results": [{}]})), "unknown");
    assert_eq!(done(&json!({"results": [], "errors": []})), "unknown");
    let refused = json!({"errors": [exists, {"category": "VALIDATION_ERROR"}]});
    assert_eq!(done(&refused), "refused");
}

#[test]
fn a_contact_is_free_only_when_the_answer_shows_that_it_is() {
    let ids = ["1", "2", "3", "4", "5"].map(|id| Address::ContactId(id.to_owned()));
    let of = |id: &str, properties: Value| json!({"id": id, "properties": properties});
    let body = json!({"results": [
        of("1", json!({"rollcall_user_id": null})), of("2", json!({"rollcall_user_id": ""})),
        of("3", json!({"rollcall_user_id": "usr_a"})), of("4", json!({"email": "a@b.c"})),
        of("6", json!({"rollcall_user_id": null})), {"id": "5"},
    ]});
    let expected = [("1", None), ("2", None), ("3", Some("usr_a".to_owned()))]
        .map(|(id, owner)| (id.to_owned(), owner));
    let found = BTreeMap::from(expected);
    assert_eq!(owners(&ids, &batch(&body)), Some(Owners { found, is_complete: false }));
    assert_eq!(owners(&ids, &batch(&json!({}))), None);
}

#[test]
fn that_there_is_no_contact_is_believed_only_when_the_answer_says_so() {
    let key = [Address::Email("a@b.c".to_owned())];
    let nobody = |is_complete| Some(Owners { found: BTreeMap::new(), is_complete });
    let missing = json!({"errors": [{"category": "OBJECT_NOT_FOUND"}]});
    assert_eq!(owners(&key, &batch(&missing)), nobody(true));
    let broken = json!({"errors": [{"category": "INTERNAL_ERROR"}]});
    assert_eq!(owners(&key, &batch(&broken)), nobody(false));
    let hidden = json!({"results": [{"id": "1", "properties": {}}]});
    assert_eq!(owners(&key, &batch(&hidden)), nobody(false));
    let shown = json!({"results": [{"id": "1", "properties": {"rollcall_user_id": "usr_a"}}]});
    let found = BTreeMap::from([("1".to_owned(), Some("usr_a".to_owned()))]);
    assert_eq!(owners(&key, &batch(&shown)), Some(Owners { found, is_complete: true }));
}
