//! The account without HTTP: each rule of HubSpot that a sync relies on, by name.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Portal;
use crate::settings::{ErrorGeneration, SearchFilterLimits, Settings};
use crate::wire::{Outcome, Request};
use crate::{Scopes, Token, ViolationKind};

const CONTACTS: &str = "/crm/objects/2026-09/contacts";
const TOKEN: &str = "pat-na1-test";

/// An account with a clock, the property group `rollcall` and three properties in it.
struct Bench {
    portal: Portal,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self::with(json!({}))
    }

    /// Settings differ from the default by `change`.
    fn with(change: Value) -> Self {
        let Value::Object(change) = change else { panic!("not an object") };
        let settings = Settings::default().changed(change).unwrap();
        let token = Token { value: TOKEN.to_owned(), scopes: Scopes::All };
        let base = "http://localhost:9002".to_owned();
        let portal = Portal::new(settings, base, vec![token], None);
        let now = Timestamp::from_second(1_795_219_200).unwrap();
        let mut bench = Self { portal, now };
        let path = "/crm/properties/2026-09/contacts";
        bench.check(
            "POST",
            &format!("{path}/groups"),
            json!({"name": "rollcall", "label": "R"}),
            201,
        );
        for (name, kind, field, unique) in [
            ("rollcall_user_id", "string", "text", true),
            ("rollcall_xp", "number", "number", false),
            ("rollcall_username", "string", "text", false),
        ] {
            let unique = unique && bench.portal.settings.unique_keys_on_contacts;
            let body = json!({"name": name, "label": name, "type": kind, "fieldType": field,
                              "groupName": "rollcall", "hasUniqueValue": unique});
            bench.check("POST", path, body, 201);
        }
        bench.wait_ms(20_000);
        bench
    }

    fn wait_ms(&mut self, milliseconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_millis(milliseconds)).unwrap();
    }

    fn exchange(&mut self, method: &str, path: &str, body: &Value) -> Outcome {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request {
            trace_id: None,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: Some(format!("Bearer {TOKEN}")),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        };
        if path.starts_with("/_emulator") {
            let settings = Settings::default();
            let answer = self.portal.control(&request, &settings, self.now).unwrap();
            let answer = Some(crate::wire::Answer::json(200, answer));
            return Outcome { answer, text: String::new(), delay: std::time::Duration::ZERO };
        }
        self.portal.exchange(&request, self.now)
    }

    /// Makes a call and checks its status; 0 stands for a closed connection.
    fn check(&mut self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let answer = self.exchange(method, path, &body).answer;
        let found = answer.as_ref().map_or(0, |answer| answer.status);
        let answer = answer.and_then(|answer| answer.body).unwrap_or_default();
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
        answer
    }

    fn upsert(&mut self, inputs: Value, status: u16) -> Value {
        let path = format!("{CONTACTS}/batch/upsert");
        self.check("POST", &path, json!({ "inputs": inputs }), status)
    }

    /// Creates a contact and returns its id.
    fn contact(&mut self, properties: Value) -> String {
        let body = json!({ "properties": properties, "associations": [] });
        let contact = self.check("POST", CONTACTS, body, 201);
        contact["id"].as_str().unwrap().to_owned()
    }

    /// Present properties of the contact that `id` leads to.
    fn properties(&mut self, id: &str) -> Value {
        let names = "email,hs_additional_emails,firstname,lifecyclestage,rollcall_user_id,rollcall_xp,hs_merged_object_ids,hs_calculated_merged_vids";
        let path = format!("{CONTACTS}/{id}?properties={names}");
        self.check("GET", &path, Value::Null, 200)["properties"].take()
    }

    fn patch(&mut self, id: &str, properties: Value, status: u16) -> Value {
        self.check("PATCH", &format!("{CONTACTS}/{id}"), json!({"properties": properties}), status)
    }

    fn search(&mut self, filter: Value) -> u64 {
        let body = json!({"filterGroups": [{"filters": [filter]}], "sorts": [], "properties": [],
                          "limit": 10, "after": "0"});
        let found = self.check("POST", &format!("{CONTACTS}/search"), body, 200);
        found["total"].as_u64().unwrap()
    }

    fn contacts(&mut self) -> usize {
        let path = format!("{CONTACTS}?limit=100");
        let page = self.check("GET", &path, Value::Null, 200);
        page["results"].as_array().unwrap().len()
    }
}

fn by_user(user: &str, trace: &str, properties: Value) -> Value {
    json!({"id": user, "idProperty": "rollcall_user_id", "objectWriteTraceId": trace,
           "properties": properties})
}

fn by_email(email: &str, properties: Value) -> Value {
    json!({"id": email, "idProperty": "email", "properties": properties})
}

fn texts(items: &Value, pointer: &str) -> Vec<String> {
    let items = items.as_array().unwrap().iter();
    items.map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn upsert_rule_1_a_batch_has_at_most_100_inputs() {
    let mut bench = Bench::new();
    let inputs = |count: usize| -> Value {
        (0..count).map(|n| by_user(&format!("u{n}"), &format!("t{n}"), json!({}))).collect()
    };
    bench.upsert(inputs(101), 400);
    assert_eq!(bench.contacts(), 0);
    let done = bench.upsert(inputs(100), 200);
    assert_eq!(done["results"].as_array().unwrap().len(), 100);
    let broken =
        bench.check("POST", &format!("{CONTACTS}/batch/upsert"), json!({"inputs": 1}), 400);
    assert!(broken["message"].as_str().unwrap().starts_with("Invalid input JSON on line 1"));
    assert_eq!(broken.get("category"), None);
}

#[test]
fn upsert_rule_2_the_key_must_be_unique() {
    let mut bench = Bench::new();
    for key in ["firstname", "hs_object_id", "nowhere"] {
        let good = by_user("u1", "t1", json!({}));
        let bad =
            json!({"id": "x", "idProperty": key, "objectWriteTraceId": "t2", "properties": {}});
        let refused = bench.upsert(json!([good, bad]), 400);
        let expected = format!("Unable to perform update/upsert by non-unique 0-1 property {key}");
        assert_eq!(refused["message"], expected);
    }
    let path = "/crm/v3/objects/companies/batch/upsert";
    let body = json!({"inputs": [{"id": "x", "idProperty": "domain", "properties": {}}]});
    let refused = bench.check("POST", path, body, 400);
    assert_eq!(
        refused["message"],
        "Unable to perform update/upsert by non-unique 0-2 property domain"
    );
    assert_eq!(bench.contacts(), 0);
}

#[test]
fn upsert_rule_3_ids_are_unique_within_a_call() {
    let mut bench = Bench::new();
    let mut one = by_email("Ann@Example.org", json!({}));
    let mut two = by_email("ann@example.ORG", json!({}));
    for traced in [false, true] {
        if traced {
            one["objectWriteTraceId"] = json!("t1");
            two["objectWriteTraceId"] = json!("t2");
        }
        let refused = bench.upsert(json!([one, two]), 400);
        assert_eq!(
            refused["message"],
            "Duplicate IDs found in batch input: [ann@example.org]. IDs must be unique"
        );
        assert_eq!(refused["context"]["ids"], json!(["ann@example.org"]));
        assert_eq!(refused["category"], "VALIDATION_ERROR");
    }
    assert_eq!(bench.contacts(), 0);
}

#[test]
fn upsert_rule_4_second_addresses_lead_to_the_record() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org", "hs_additional_emails": "B@x.org;c@x.org"}));
    let done = bench.upsert(json!([by_email("b@X.org", json!({"firstname": "Ann"}))]), 200);
    assert_eq!(done["results"][0]["id"], json!(id));
    assert_eq!(done["results"][0]["new"], json!(false));
    assert_eq!(bench.properties(&id)["email"], "a@x.org");
    // Writing a second address as the primary one swaps them.
    bench.patch(&id, json!({"email": "c@x.org"}), 200);
    let properties = bench.properties(&id);
    assert_eq!(properties["email"], "c@x.org");
    assert_eq!(properties["hs_additional_emails"], "b@x.org;a@x.org");
}

#[test]
fn upsert_rule_5_trace_ids_decide_whether_one_bad_input_spoils_the_rest() {
    let good = by_user("u1", "t1", json!({"rollcall_xp": "1"}));
    let bad = by_user("u2", "t2", json!({"rollcall_xp": "many"}));
    let check = |traces: [Option<&str>; 2], status: u16, written: usize| {
        let mut bench = Bench::new();
        let mut inputs = json!([good, bad]);
        for (index, trace) in traces.iter().enumerate() {
            inputs[index]["objectWriteTraceId"] = json!(trace);
        }
        let answer = bench.upsert(inputs, status);
        assert_eq!(bench.contacts(), written, "{traces:?}");
        answer
    };
    let partial = check([Some("t1"), Some("t2")], 207, 1);
    assert_eq!(partial["numErrors"], 1);
    assert_eq!(partial["errors"][0]["context"]["objectWriteTraceId"], json!(["t2"]));
    assert_eq!(texts(&partial["results"], "/objectWriteTraceId"), ["t1"]);
    for traces in [[None, None], [Some("t1"), None], [Some("t1"), Some("t1")]] {
        let whole = check(traces, 400, 0);
        assert_eq!(whole["category"], "VALIDATION_ERROR");
    }
}

#[test]
fn upsert_rule_5_a_batch_that_fails_leaves_existing_records_as_they_were() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org", "rollcall_user_id": "u1"}));
    let before = bench.properties(&id);
    bench.wait_ms(1_000);
    let mut good = by_user("u1", "t", json!({"email": "new@x.org", "firstname": "Ann"}));
    let mut bad = by_user("u2", "t", json!({"nonsense": "x"}));
    good["objectWriteTraceId"].take();
    bad["objectWriteTraceId"].take();
    bench.upsert(json!([good, bad]), 400);
    assert_eq!(bench.properties(&id), before);
    // Its addresses are indexed as before, too.
    bench.check("GET", &format!("{CONTACTS}/a@x.org?idProperty=email"), Value::Null, 200);
    bench.check("GET", &format!("{CONTACTS}/new@x.org?idProperty=email"), Value::Null, 404);
}

#[test]
fn upsert_rule_6_a_new_record_gets_the_key_and_an_old_one_keeps_what_is_omitted() {
    let mut bench = Bench::new();
    let all = json!({"firstname": "Ann", "rollcall_xp": "7"});
    let done = bench.upsert(json!([by_user("u1", "t", all)]), 200);
    assert_eq!(done["results"][0]["new"], json!(true));
    assert_eq!(done["results"][0]["properties"]["rollcall_user_id"], "u1");
    let id = done["results"][0]["id"].as_str().unwrap().to_owned();
    bench.upsert(json!([by_user("u1", "t", json!({"firstname": "Bea"}))]), 200);
    let properties = bench.properties(&id);
    assert_eq!(properties["firstname"], "Bea");
    assert_eq!(properties["rollcall_xp"], "7");
}

#[test]
fn upsert_rule_6_by_email_omitted_properties_may_be_blanked() {
    for blanked in [false, true] {
        let mut bench = Bench::with(json!({"email_upsert_blanks_omitted": blanked}));
        let all = json!({"rollcall_xp": "7"});
        let done = bench.upsert(json!([by_email("A@x.org", all)]), 200);
        let id = done["results"][0]["id"].as_str().unwrap().to_owned();
        // What a person wrote is not the integration's to lose.
        let edit = json!({"id": id, "properties": {"firstname": "Ann"}});
        bench.check("POST", "/_emulator/edit", edit, 200);
        bench.upsert(json!([by_email("a@x.org", json!({"rollcall_username": "ann"}))]), 200);
        let properties = bench.properties(&id);
        let kept = properties["rollcall_xp"].as_str().unwrap_or_default();
        assert_eq!(kept, if blanked { "" } else { "7" });
        assert_eq!(properties["firstname"], "Ann");
        assert_eq!(properties["email"], "a@x.org");
    }
}

#[test]
fn upsert_rule_7_results_come_in_any_order_that_the_seed_repeats() {
    let order = |seed: u64| {
        let mut bench = Bench::with(json!({"shuffle_seed": seed}));
        let inputs: Value = (0..20)
            .map(|n| {
                by_user(&format!("u{n}"), &format!("t{n}"), json!({"email": format!("U{n}@X.org")}))
            })
            .collect();
        let done = bench.upsert(inputs, 200);
        for result in done["results"].as_array().unwrap() {
            let number = result["objectWriteTraceId"].as_str().unwrap().replace('t', "u");
            assert_eq!(result["properties"]["email"], format!("{number}@x.org"));
        }
        texts(&done["results"], "/objectWriteTraceId")
    };
    let sent: Vec<_> = (0..20).map(|n| format!("t{n}")).collect();
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), sent);
    assert_eq!(order(1).into_iter().collect::<BTreeSet<_>>(), sent.into_iter().collect());
}

#[test]
fn upsert_rule_8_an_empty_success_can_be_provoked() {
    for status in [200, 207] {
        let mut bench = Bench::new();
        let fault = json!({"kind": "empty_results", "status": status, "count": 1,
                           "route": "*batch/upsert"});
        bench.check("POST", "/_emulator/faults", fault, 200);
        let empty = bench.upsert(json!([by_user("u1", "t1", json!({}))]), status);
        assert_eq!((&empty["results"], &empty["errors"]), (&json!([]), &json!([])));
        assert_eq!(bench.contacts(), 0);
        bench.upsert(json!([by_user("u1", "t1", json!({}))]), 200);
        assert_eq!(bench.contacts(), 1);
    }
}

#[test]
fn upsert_rule_9_of_two_upserts_of_a_new_key_one_creates() {
    let mut bench = Bench::new();
    let first = bench.upsert(json!([by_user("u1", "t1", json!({}))]), 200);
    let second = bench.upsert(json!([by_user("u1", "t2", json!({}))]), 200);
    assert_eq!(first["results"][0]["new"], json!(true));
    assert_eq!(second["results"][0]["new"], json!(false));
    assert_eq!(first["results"][0]["id"], second["results"][0]["id"]);
}

#[test]
fn an_address_that_is_taken_names_its_holder() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org"}));
    let expected = format!("Contact already exists. Existing ID: {id}");
    let body = json!({"properties": {"email": "A@x.org"}, "associations": []});
    let refused = bench.check("POST", CONTACTS, body, 409);
    assert_eq!((&refused["message"], &refused["category"]), (&json!(expected), &json!("CONFLICT")));
    let inputs = json!([by_user("u1", "t1", json!({"email": "a@x.org"}))]);
    let partial = bench.upsert(inputs, 207);
    assert_eq!(partial["errors"][0]["message"], expected);
    assert_eq!(partial["errors"][0]["category"], "CONFLICT");
}

#[test]
fn a_unique_value_has_one_holder() {
    let mut bench = Bench::new();
    bench.contact(json!({"email": "a@x.org", "rollcall_user_id": "u1"}));
    let other = bench.contact(json!({"email": "b@x.org"}));
    let refused = bench.patch(&other, json!({"rollcall_user_id": "u1"}), 400);
    assert!(refused["message"].as_str().unwrap().ends_with("501 already has that value."));
}

#[test]
fn a_portal_may_refuse_unique_keys_on_contacts() {
    let mut bench = Bench::with(json!({"unique_keys_on_contacts": false}));
    let body = json!({"name": "key", "label": "K", "type": "string", "fieldType": "text",
                      "groupName": "rollcall", "hasUniqueValue": true});
    bench.check("POST", "/crm/v3/properties/contacts", body, 400);
    bench.upsert(json!([by_user("u1", "t1", json!({}))]), 400);
}

#[test]
fn batch_update_reports_unknown_ids_and_writes_the_rest() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org"}));
    let inputs = json!([
        {"id": id, "properties": {"firstname": "Ann"}, "objectWriteTraceId": "t1"},
        {"id": "999", "properties": {"firstname": "Bea"}, "objectWriteTraceId": "t2"},
    ]);
    let path = format!("{CONTACTS}/batch/update");
    let partial = bench.check("POST", &path, json!({ "inputs": inputs }), 207);
    assert_eq!(partial["errors"][0]["category"], "OBJECT_NOT_FOUND");
    assert_eq!(bench.properties(&id)["firstname"], "Ann");
}

#[test]
fn batch_read_names_the_ids_it_did_not_find() {
    let mut bench = Bench::new();
    bench.contact(json!({"email": "a@x.org"}));
    let body = json!({"inputs": [{"id": "A@x.org"}, {"id": "b@x.org"}], "idProperty": "email",
                      "properties": ["email", "firstname", "unheard_of"],
                      "propertiesWithHistory": []});
    let read = bench.check("POST", &format!("{CONTACTS}/batch/read"), body, 207);
    assert_eq!(read["numErrors"], 1);
    assert_eq!(read["errors"][0]["context"]["ids"], json!(["b@x.org"]));
    assert_eq!(
        read["errors"][0]["message"],
        "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
    );
    let properties = &read["results"][0]["properties"];
    assert_eq!(properties["firstname"], Value::Null);
    assert!(properties.get("unheard_of").is_none());
    let inputs: Value = (0..51).map(|id| json!({"id": id.to_string()})).collect();
    let body = json!({"inputs": inputs, "properties": [], "propertiesWithHistory": ["email"]});
    bench.check("POST", &format!("{CONTACTS}/batch/read"), body, 400);
}

#[test]
fn archived_records_are_hidden_and_give_up_their_values() {
    for ignored in [true, false] {
        let mut bench = Bench::with(json!({"archive_ignores_unknown_ids": ignored}));
        let id = bench.contact(json!({"email": "a@x.org"}));
        let body = json!({"inputs": [{"id": id}, {"id": "999"}]});
        let path = format!("{CONTACTS}/batch/archive");
        bench.check("POST", &path, body, if ignored { 204 } else { 400 });
        let one = format!("{CONTACTS}/{id}");
        bench.check("DELETE", &one, Value::Null, 204);
        bench.check("DELETE", &one, Value::Null, 204);
        bench.check("GET", &one, Value::Null, 404);
        let archived = bench.check("GET", &format!("{one}?archived=true"), Value::Null, 200);
        assert_eq!(archived["archived"], json!(true));
        let other = bench.contact(json!({"email": "a@x.org"}));
        assert_ne!(id, other);
    }
}

#[test]
fn bad_values_are_refused_each_with_its_reason() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org"}));
    for (property, value, code) in [
        ("missing", "x", "PROPERTY_DOESNT_EXIST"),
        ("createdate", "2026-01-01", "READ_ONLY_VALUE"),
        ("hs_object_id", "7", "READ_ONLY_VALUE"),
        ("lifecyclestage", "king", "INVALID_OPTION"),
        ("rollcall_xp", "1,000", "INVALID_INTEGER"),
        ("email", "nobody", "INVALID_EMAIL"),
    ] {
        let refused = bench.patch(&id, json!({ property: value }), 400);
        assert_eq!(refused["errors"][0]["code"], code);
        let message = refused["message"].as_str().unwrap();
        let list = message.strip_prefix("Property values were not valid: ").unwrap();
        let list: Value = serde_json::from_str(list).unwrap();
        assert_eq!((&list[0]["error"], &list[0]["name"]), (&json!(code), &json!(property)));
        assert_eq!(list[0]["isValid"], json!(false));
    }
    let empty = bench.patch(&id, json!({}), 400);
    assert_eq!(empty["message"], "No properties found to update, please provide at least one.");
    let violations: Vec<_> =
        bench.portal.log.violations().iter().map(|violation| violation.kind.clone()).collect();
    let names = vec!["missing".to_owned()];
    assert_eq!(violations, [ViolationKind::UnknownProperties { names }]);
}

#[test]
fn a_life_cycle_only_moves_forward_until_it_is_cleared() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org", "lifecyclestage": "lead"}));
    for (written, stage) in [
        ("customer", json!("customer")),
        ("lead", json!("customer")),
        ("", Value::Null),
        ("subscriber", json!("subscriber")),
    ] {
        bench.patch(&id, json!({"lifecyclestage": written}), 200);
        assert_eq!(bench.properties(&id)["lifecyclestage"], stage, "after {written:?}");
    }
}

#[test]
fn every_write_is_a_modification_and_keeps_history() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org", "firstname": "Ann"}));
    let created = bench.properties(&id);
    bench.wait_ms(1_000);
    bench.patch(&id, json!({"firstname": "Bea"}), 200);
    let changed = bench.properties(&id);
    assert_eq!(created["createdate"], changed["createdate"]);
    assert_ne!(created["lastmodifieddate"], changed["lastmodifieddate"]);
    let path = format!("{CONTACTS}/{id}?propertiesWithHistory=firstname");
    let read = bench.check("GET", &path, Value::Null, 200);
    let history = &read["propertiesWithHistory"]["firstname"];
    assert_eq!(texts(history, "/value"), ["Bea", "Ann"]);
}

#[test]
fn search_sees_a_change_when_the_lag_has_passed() {
    let mut bench = Bench::with(json!({"search_lag_ms": 5_000}));
    let ann = |bench: &mut Bench| {
        bench.search(json!({"propertyName": "firstname", "operator": "EQ", "value": "ann"}))
    };
    let id = bench.contact(json!({"email": "a@x.org", "firstname": "Ann"}));
    bench.wait_ms(4_999);
    assert_eq!(ann(&mut bench), 0);
    bench.wait_ms(1);
    assert_eq!(ann(&mut bench), 1);
    bench.patch(&id, json!({"firstname": "Bea"}), 200);
    assert_eq!(ann(&mut bench), 1, "the index still holds the old value");
    bench.wait_ms(5_000);
    assert_eq!(ann(&mut bench), 0);
    bench.check("POST", "/_emulator/lag", json!({"ms": 0}), 200);
    bench.patch(&id, json!({"firstname": "Ann"}), 200);
    assert_eq!(ann(&mut bench), 1);
    bench.check("DELETE", &format!("{CONTACTS}/{id}"), Value::Null, 204);
    assert_eq!(ann(&mut bench), 0);
}

#[test]
fn search_keeps_its_published_bounds() {
    let check = |limits: SearchFilterLimits, groups: usize, filters: usize, status: u16| {
        let mut bench = Bench::with(json!({ "search_filter_limits": limits }));
        let filter = json!({"propertyName": "email", "operator": "HAS_PROPERTY"});
        let group = json!({ "filters": vec![filter; filters] });
        let body = json!({ "filterGroups": vec![group; groups] });
        bench.check("POST", &format!("{CONTACTS}/search"), body, status);
    };
    check(SearchFilterLimits::Guide, 5, 3, 200);
    check(SearchFilterLimits::Guide, 6, 3, 400);
    check(SearchFilterLimits::Guide, 4, 5, 400);
    check(SearchFilterLimits::OpenApi, 6, 3, 200);
    check(SearchFilterLimits::Sdk, 3, 3, 200);
    check(SearchFilterLimits::Sdk, 1, 4, 400);
    let mut bench = Bench::new();
    for body in [
        json!({"after": "10000"}),
        json!({"limit": 201}),
        json!({"query": "x".repeat(3_001)}),
        json!({"sorts": ["email", "firstname"]}),
        json!({"filterGroups": [{"filters": [{"propertyName": "no", "operator": "HAS_PROPERTY"}]}]}),
    ] {
        bench.check("POST", &format!("{CONTACTS}/search"), body, 400);
        bench.wait_ms(1_000);
    }
}

#[test]
fn a_merge_yields_a_new_id_to_which_both_old_ones_lead() {
    for keeps in [false, true] {
        let mut bench = Bench::with(json!({"merge_keeps_primary_id": keeps}));
        let one = bench.contact(json!({"email": "a@x.org", "rollcall_user_id": "u1"}));
        let two = bench.contact(json!({"email": "b@x.org", "firstname": "Bea",
                                       "lifecyclestage": "customer", "rollcall_user_id": "u2"}));
        let body = json!({"primaryObjectId": one, "objectIdToMerge": two});
        let survivor = bench.check("POST", &format!("{CONTACTS}/merge"), body, 200);
        let id = survivor["id"].as_str().unwrap().to_owned();
        assert_eq!(id == one, keeps);
        assert_ne!(id, two);
        for old in [&one, &two] {
            let path = format!("{CONTACTS}/{old}");
            assert_eq!(bench.check("GET", &path, Value::Null, 200)["id"], json!(id));
        }
        let properties = bench.properties(&id);
        assert_eq!(properties["email"], "a@x.org");
        assert_eq!(properties["hs_additional_emails"], "b@x.org");
        assert_eq!(properties["firstname"], "Bea");
        assert_eq!(properties["lifecyclestage"], "customer");
        assert_eq!(properties["rollcall_user_id"], "u1");
        let merged = if keeps { two.clone() } else { format!("{two};{one}") };
        assert_eq!(properties["hs_merged_object_ids"], merged);
        let vids = properties["hs_calculated_merged_vids"].as_str().unwrap();
        assert!(vids.starts_with(&format!("{two}:")), "{vids}");
        // The loser's address resolves, its unique value is free again.
        let done = bench.upsert(json!([by_email("b@x.org", json!({"rollcall_xp": "1"}))]), 200);
        assert_eq!(done["results"][0]["id"], json!(id));
        let done = bench.upsert(json!([by_user("u2", "t", json!({}))]), 200);
        assert_eq!(done["results"][0]["new"], json!(true));
        bench.check(
            "POST",
            &format!("{CONTACTS}/merge"),
            json!({"primaryObjectId": one, "objectIdToMerge": two}),
            400,
        );
    }
}

#[test]
fn merged_identities_are_bounded() {
    let mut bench = Bench::with(json!({"burst_limit": 10_000}));
    let mut primary = bench.contact(json!({"email": "p@x.org"}));
    let mut merges = 0;
    let status = loop {
        let other = bench.contact(json!({}));
        let body = json!({"primaryObjectId": primary, "objectIdToMerge": other});
        let answer = bench.exchange("POST", &format!("{CONTACTS}/merge"), &body).answer.unwrap();
        if answer.status != 200 {
            break answer.status;
        }
        primary = answer.body.unwrap()["id"].as_str().unwrap().to_owned();
        merges += 1;
    };
    // Each merge absorbs two ids.
    assert_eq!((status, merges), (414, 125));
    let first = format!("{CONTACTS}/501");
    assert_eq!(bench.check("GET", &first, Value::Null, 200)["id"], json!(primary));
}

#[test]
fn an_erased_stranger_is_blocked_for_ever() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org"}));
    let path = format!("{CONTACTS}/gdpr-delete");
    bench.check("POST", &path, json!({"objectId": id}), 204);
    bench.check("GET", &format!("{CONTACTS}/{id}?archived=true"), Value::Null, 404);
    bench.check("POST", &path, json!({"objectId": id}), 404);
    bench.contact(json!({"email": "a@x.org"}));
    let stranger = json!({"objectId": "S@x.org", "idProperty": "email"});
    bench.check("POST", &path, stranger, 204);
    let body = json!({"properties": {"email": "s@X.org"}, "associations": []});
    bench.check("POST", CONTACTS, body, 400);
    bench.upsert(json!([by_email("s@x.org", json!({}))]), 400);
    let inputs = json!([by_user("u1", "t1", json!({"hs_additional_emails": "s@x.org"}))]);
    let partial = bench.upsert(inputs, 207);
    assert_eq!(partial["errors"][0]["errors"][0]["code"], "BLOCKED_EMAIL");
}

#[test]
fn a_call_over_the_limit_gets_429_and_is_a_violation() {
    for (generation, field) in
        [(ErrorGeneration::Legacy, "requestId"), (ErrorGeneration::Current, "category")]
    {
        let mut bench = Bench::with(json!({"burst_limit": 4, "error_generation": generation,
                                           "retry_after_on_429": true}));
        for _ in 0..4 {
            bench.check("GET", CONTACTS, Value::Null, 200);
        }
        bench.wait_ms(1);
        let outcome = bench.exchange("GET", CONTACTS, &Value::Null).answer.unwrap();
        assert_eq!(outcome.status, 429);
        let body = outcome.body.unwrap();
        assert_eq!(body["policyName"], "TEN_SECONDLY_ROLLING");
        assert_eq!(body["message"], "You have reached your ten_secondly_rolling limit.");
        assert!(body.get(field).is_some());
        assert!(outcome.headers.contains(&("Retry-After".to_owned(), "10".to_owned())));
        bench.wait_ms(9_999);
        bench.check("GET", CONTACTS, Value::Null, 200);
        assert_eq!(bench.portal.log.violations().len(), 1);
        assert_eq!(bench.portal.limits.peak(), 4);
    }
}

#[test]
fn searches_carry_no_rate_headers_and_others_do() {
    let mut bench = Bench::new();
    let searched = bench.exchange("POST", &format!("{CONTACTS}/search"), &json!({}));
    assert_eq!(searched.answer.unwrap().headers, []);
    let read = bench.exchange("GET", CONTACTS, &Value::Null).answer.unwrap();
    let header = |name: &str| {
        let name = format!("X-HubSpot-RateLimit-{name}");
        read.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(header("Max"), Some("190"));
    assert_eq!(header("Remaining"), Some("188"));
    assert_eq!(header("Interval-Milliseconds"), Some("10000"));
    assert_eq!(header("Daily"), Some("650000"));
    assert_eq!(header("Daily-Remaining"), Some("649994"));
}

#[test]
fn faults_hit_where_they_are_set() {
    let fault = |fault: Value, status: u16, written: usize| {
        let mut bench = Bench::new();
        bench.check("POST", "/_emulator/faults", fault.clone(), 200);
        bench.upsert(json!([by_user("u1", "t1", json!({"firstname": "Ann"}))]), status);
        bench.check("DELETE", "/_emulator/faults", Value::Null, 200);
        assert_eq!(bench.contacts(), written, "{fault}");
    };
    fault(json!({"kind": "status", "status": 503}), 503, 0);
    fault(json!({"kind": "status", "status": 503, "route": "/crm/v3"}), 200, 1);
    fault(json!({"kind": "status", "status": 503, "method": "GET"}), 200, 1);
    fault(json!({"kind": "drop_before"}), 0, 0);
    fault(json!({"kind": "drop_after_commit"}), 0, 1);
    fault(json!({"kind": "silent_no_op"}), 200, 0);
    fault(json!({"kind": "outage"}), 0, 0);
    fault(json!({"kind": "outage", "status": 521}), 521, 0);
    fault(json!({"kind": "partial_at", "indices": [0]}), 207, 0);
    fault(json!({"kind": "partial_at", "indices": [1]}), 200, 1);
    fault(json!({"kind": "refuse_property", "name": "firstname", "message": "no"}), 207, 0);
}

#[test]
fn a_token_is_needed_and_its_scopes_count() {
    let mut bench = Bench::new();
    let scopes = BTreeSet::from(["crm.objects.contacts.read".to_owned()]);
    let value = TOKEN.to_owned();
    bench.portal.tokens = vec![Token { value, scopes: Scopes::List(scopes) }];
    bench.check("GET", CONTACTS, Value::Null, 200);
    bench.check("GET", "/crm/v3/properties/contacts", Value::Null, 200);
    bench.check("POST", &format!("{CONTACTS}/search"), json!({}), 200);
    let refused = bench.upsert(json!([by_user("u1", "t1", json!({}))]), 403);
    assert_eq!(refused["category"], "MISSING_SCOPES");
    assert_eq!(
        refused["errors"][0]["context"]["requiredGranularScopes"],
        json!(["crm.objects.contacts.write"])
    );
    bench.check("POST", "/_emulator/portal", json!({"expired_tokens": [TOKEN]}), 200);
    let expired = bench.check("GET", CONTACTS, Value::Null, 401);
    assert_eq!(expired["category"], "EXPIRED_AUTHENTICATION");
    bench.check("POST", "/_emulator/portal", json!({"tokens": []}), 200);
    let refused = bench.check("GET", CONTACTS, Value::Null, 401);
    assert_eq!(refused["category"], "INVALID_AUTHENTICATION");
    assert!(bench.portal.log.calls(0).last().unwrap().counted.is_empty());
    let violations: Vec<_> =
        bench.portal.log.violations().iter().map(|violation| violation.kind.clone()).collect();
    let expected = [403, 401, 401].map(|status| ViolationKind::Unauthorized { status });
    assert_eq!(violations, expected);
}

#[test]
fn an_account_without_custom_events_says_so_and_that_is_no_violation() {
    let mut bench = Bench::with(json!({"custom_events": false}));
    let refused = bench.check("GET", "/events/v3/event-definitions", Value::Null, 403);
    assert_eq!(refused["category"], "MISSING_SCOPES");
    assert!(bench.portal.log.violations().is_empty());
}

#[test]
fn a_custom_event_counts_once_and_finds_its_person_later() {
    let mut bench = Bench::with(json!({"search_lag_ms": 1_000}));
    let define = json!({"label": "Quest done", "name": "quest_done", "primaryObject": "CONTACT",
        "includeDefaultProperties": false,
        "propertyDefinitions": [{"name": "quest", "label": "Quest", "type": "string"}]});
    let defined = bench.check("POST", "/events/v3/event-definitions", define, 201);
    let name = defined["fullyQualifiedName"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("pe{}_quest_done", bench.portal.settings.portal_id));
    let event = |uuid: &str, quest: &str| json!({"eventName": name, "email": "A@x.org", "uuid": uuid, "properties": {"quest": quest}});
    bench.check("POST", "/events/v3/send", event("e1", "first"), 204);
    let batch = json!({"inputs": [event("e1", "again"), event("e2", "second")]});
    bench.check("POST", "/events/custom/2026-09/send/batch", batch, 204);
    let id = bench.contact(json!({"email": "a@x.org"}));
    let path = format!("/events/v3/events?objectType=contact&objectId={id}");
    let read = bench.check("GET", &path, Value::Null, 200);
    assert_eq!(read["results"], json!([]), "not before the lag has passed");
    bench.wait_ms(1_000);
    let read = bench.check("GET", &path, Value::Null, 200);
    assert_eq!(texts(&read["results"], "/properties/quest"), ["first", "second"]);
    let unknown = json!({"eventName": "pe1_no", "email": "a@x.org", "properties": {}});
    let refused = bench.check("POST", "/events/v3/send", unknown, 400);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("Event with fully qualified name pe1_no does not exist."));
    let path = format!("{CONTACTS}/gdpr-delete");
    bench.check("POST", &path, json!({"objectId": id}), 204);
    assert_eq!(bench.portal.events.json()["occurrences"], json!([]));
}

#[test]
fn other_objects_follow_the_same_rules() {
    let mut bench = Bench::new();
    let body = json!({"properties": {"name": "Rollcall", "domain": "x.org"}, "associations": []});
    let company = bench.check("POST", "/crm/v3/objects/companies", body, 201);
    let id = company["id"].as_str().unwrap();
    let read = bench.check("GET", &format!("/crm/objects/2026-03/0-2/{id}"), Value::Null, 200);
    assert_eq!(read["properties"]["name"], "Rollcall");
    assert!(read["properties"]["hs_lastmodifieddate"].is_string());
    let refused = bench.check("GET", "/crm/v3/objects/dragons", Value::Null, 400);
    assert_eq!(refused["message"], "Unable to infer object type from: dragons");
    for path in ["/integrators/timeline/v3/events", "/oauth/v1/token", "/nowhere"] {
        bench.check("GET", path, Value::Null, 404);
    }
}

#[test]
fn pages_go_on_until_the_end() {
    let mut bench = Bench::new();
    for number in 0..25 {
        bench.contact(json!({"email": format!("u{number}@x.org")}));
    }
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("{CONTACTS}?limit=10&after={after}&properties=email");
        let path = path.replace("after=&", "");
        let page = bench.check("GET", &path, Value::Null, 200);
        seen.extend(texts(&page["results"], "/properties/email"));
        match page.pointer("/paging/next/after") {
            Some(next) => after = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    let all: Vec<_> = (0..25).map(|number| format!("u{number}@x.org")).collect();
    assert_eq!(seen, all);
}

#[test]
fn properties_are_defined_before_they_are_written_and_forgotten_when_archived() {
    let mut bench = Bench::new();
    let id = bench.contact(json!({"email": "a@x.org", "rollcall_user_id": "u1"}));
    let path = "/crm/properties/2026-09/contacts";
    let create = |name: &str| {
        json!({"name": name, "label": "L", "type": "string", "fieldType": "text",
               "groupName": "rollcall"})
    };
    let inputs = json!({"inputs": [create("rollcall_user_id"), create("rollcall_new")]});
    let partial = bench.check("POST", &format!("{path}/batch/create"), inputs, 207);
    assert_eq!(partial["errors"][0]["category"], "OBJECT_ALREADY_EXISTS");
    assert_eq!(partial["errors"][0]["context"]["propertyName"], json!(["rollcall_user_id"]));
    bench.check("POST", path, create("rollcall_new"), 409);
    bench.patch(&id, json!({"rollcall_new": "x"}), 200);
    bench.check("DELETE", &format!("{path}/rollcall_user_id"), Value::Null, 204);
    bench.check("GET", &format!("{path}/rollcall_user_id"), Value::Null, 404);
    bench.upsert(json!([by_user("u1", "t1", json!({}))]), 400);
    bench.check("POST", path, create("rollcall_user_id"), 201);
    assert_eq!(bench.properties(&id)["rollcall_user_id"], Value::Null);
    bench.check("DELETE", &format!("{path}/email"), Value::Null, 400);
    bench.check("DELETE", &format!("{path}/groups/rollcall"), Value::Null, 400);
    let group = json!({"name": "rollcall", "label": "R"});
    bench.check("POST", &format!("{path}/groups"), group, 409);
}

#[test]
fn a_snapshot_brings_everything_back() {
    let mut bench = Bench::new();
    let one = bench.contact(json!({"email": "a@x.org", "rollcall_user_id": "u1"}));
    let two = bench.contact(json!({"email": "b@x.org"}));
    let body = json!({"primaryObjectId": one, "objectIdToMerge": two});
    bench.check("POST", &format!("{CONTACTS}/merge"), body, 200);
    let stranger = json!({"objectId": "s@x.org", "idProperty": "email"});
    bench.check("POST", &format!("{CONTACTS}/gdpr-delete"), stranger, 204);
    let before = bench.properties(&one);
    let saved = serde_json::to_vec(&bench.portal.saved()).unwrap();
    let saved = serde_json::from_slice(&saved).unwrap();
    let (settings, tokens) = (bench.portal.settings.clone(), bench.portal.tokens.clone());
    bench.portal = Portal::new(settings, String::new(), tokens, Some(saved));
    assert_eq!(bench.properties(&one), before);
    let done = bench.upsert(json!([by_user("u1", "t1", json!({"rollcall_xp": "1"}))]), 200);
    assert_eq!(done["results"][0]["new"], json!(false));
    bench.upsert(json!([by_email("s@x.org", json!({}))]), 400);
    let found = json!({"propertyName": "email", "operator": "EQ", "value": "a@x.org"});
    assert_eq!(bench.search(found), 1);
}

#[test]
fn a_thousand_batches_hold_100_000_contacts_without_a_duplicate() {
    let mut bench = Bench::with(json!({"burst_limit": 10_000, "calls_kept": 1}));
    let batch = |from: usize| -> Value {
        let input = |n: usize| {
            let email = format!("u{n}@x.org");
            by_user(&format!("u{n}"), &format!("t{n}"), json!({"email": email, "rollcall_xp": n}))
        };
        (from..from + 100).map(input).collect()
    };
    for number in 0..1_000 {
        bench.upsert(batch(number * 100), 200);
    }
    // Batches that straddle earlier ones find every record again.
    let done = bench.upsert(batch(50_050), 200);
    let new: Vec<_> = done["results"].as_array().unwrap().iter().map(|r| &r["new"]).collect();
    assert_eq!(new, [&json!(false); 100]);
    let kind = crate::standard::object_type("contacts").unwrap();
    assert_eq!(bench.portal.holding(kind).table.all().count(), 100_000);
}
