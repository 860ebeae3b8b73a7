//! The local HubSpot as a client sees it: over a socket, in every path family, and held to the
//! published OpenAPI documents where they are at hand.

use std::net::SocketAddr;
use std::path::Path;

use rollcall_local_kit::{LocalClock, Server, Shutdown};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::openapi::Published;
use crate::{HubSpot, Options, Scopes, Settings, Token};

const TOKEN: &str = "pat-na1-test";

struct Local {
    hubspot: HubSpot,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn start(folder: Option<&Path>, settings: Settings) -> Local {
    let server = Server::bind(0).await.unwrap();
    let token = Token { value: TOKEN.to_owned(), scopes: Scopes::All };
    let hubspot = HubSpot::open(Options {
        folder: folder.map(Path::to_path_buf),
        clock: LocalClock::new(),
        base_url: server.base_url(),
        tokens: vec![token],
        settings,
    })
    .unwrap();
    let (address, shutdown) = (server.address(), Shutdown::new());
    server.serve(hubspot.router(), shutdown.clone());
    Local { hubspot, address, shutdown }
}

/// Sends one request and returns every byte that came back.
async fn raw(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => {}
        // One of the two ways in which a dropped connection shows.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    String::from_utf8(answer).unwrap()
}

impl Local {
    /// Makes a call and checks its status.
    async fn check(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = raw(self.address, method, path, &text).await;
        let (head, content) = answer.split_once("\r\n\r\n").expect("an answer");
        let found: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(found, status, "{method} {path} {body}: {content}");
        serde_json::from_str(content).unwrap_or_default()
    }
}

/// Every operation, once or more: method, path, expected status, body. `$o`, `$p` and `$e` stand for
/// the paths of objects, properties and events in one family, `$c` for the status of a batch of
/// properties, in which the families differ. Ids begin at 501.
const EVERYTHING: &str = r#"
POST $p/contacts/groups 201 {"name":"rollcall","label":"Rollcall","displayOrder":1}
GET $p/contacts/groups 200
GET $p/contacts/groups/rollcall 200
PATCH $p/contacts/groups/rollcall 200 {"label":"R"}
POST $p/contacts 201 {"name":"rollcall_user_id","label":"L","type":"string","fieldType":"text","groupName":"rollcall","hasUniqueValue":true}
POST $p/contacts 409 {"name":"rollcall_user_id","label":"L","type":"string","fieldType":"text","groupName":"rollcall","hasUniqueValue":true}
POST $p/contacts/batch/create $c {"inputs":[{"name":"rollcall_xp","label":"L","type":"number","fieldType":"number","groupName":"rollcall"},{"name":"rollcall_kind","label":"L","type":"enumeration","fieldType":"select","groupName":"rollcall","options":[{"label":"A","value":"a","hidden":false,"displayOrder":0}]}]}
POST $p/contacts/batch/create 207 {"inputs":[{"name":"rollcall_xp","label":"L","type":"number","fieldType":"number","groupName":"rollcall"}]}
GET $p/contacts 200
GET $p/contacts/rollcall_xp 200
PATCH $p/contacts/rollcall_xp 200 {"label":"XP"}
POST $p/contacts/batch/read 207 {"archived":false,"dataSensitivity":"non_sensitive","inputs":[{"name":"rollcall_xp"},{"name":"rollcall_no"}]}
POST $o/contacts/batch/upsert 200 {"inputs":[{"id":"u1","idProperty":"rollcall_user_id","objectWriteTraceId":"t1","properties":{"email":"One@x.org","rollcall_xp":"1.50"}},{"id":"u2","idProperty":"rollcall_user_id","objectWriteTraceId":"t2","properties":{"email":"two@x.org"}}]}
POST $o/contacts/batch/upsert 207 {"inputs":[{"id":"u1","idProperty":"rollcall_user_id","objectWriteTraceId":"t1","properties":{"rollcall_xp":""}},{"id":"u3","idProperty":"rollcall_user_id","objectWriteTraceId":"t3","properties":{"rollcall_kind":"b"}}]}
POST $o/contacts/batch/upsert 400 {"inputs":[{"id":"u1","idProperty":"rollcall_user_id","properties":{}},{"id":"u1","idProperty":"rollcall_user_id","properties":{}}]}
POST $o/contacts 201 {"properties":{"email":"three@x.org"},"associations":[]}
POST $o/contacts 409 {"properties":{"email":"three@x.org"},"associations":[]}
POST $o/contacts/batch/create 201 {"inputs":[{"properties":{"email":"four@x.org"},"associations":[]}]}
POST $o/contacts/batch/update 200 {"inputs":[{"id":"501","properties":{"firstname":"Ann"}}]}
POST $o/contacts/batch/read 207 {"inputs":[{"id":"501"},{"id":"1"}],"properties":["email","lastname"],"propertiesWithHistory":["firstname"]}
GET $o/contacts/501?properties=email,phone 200
GET $o/contacts/501?propertiesWithHistory=email 200
PATCH $o/contacts/501 200 {"properties":{"phone":"1"}}
PATCH $o/contacts/501 400 {"properties":{}}
GET $o/contacts?limit=1&properties=phone 200
POST $o/contacts/search 200 {"filterGroups":[{"filters":[{"propertyName":"email","operator":"HAS_PROPERTY"}]}],"sorts":["-createdate"],"properties":["phone"],"limit":1,"after":"0"}
POST $o/contacts/merge 200 {"primaryObjectId":"501","objectIdToMerge":"503"}
POST $o/contacts/gdpr-delete 204 {"objectId":"stranger@x.org","idProperty":"email"}
POST $o/contacts/batch/archive 204 {"inputs":[{"id":"502"}]}
DELETE $o/contacts/501 204
GET $o/contacts/501 404
GET $o/contacts?archived=true 200
POST $o/companies 201 {"properties":{"name":"R"},"associations":[]}
GET $o/0-2 200
DELETE $p/contacts/rollcall_xp 204
POST $p/contacts/batch/archive 204 {"inputs":[{"name":"rollcall_user_id"},{"name":"rollcall_kind"}]}
DELETE $p/contacts/groups/rollcall 204
POST $e/event-definitions 201 {"label":"Done","name":"done","description":"D","primaryObject":"CONTACT","includeDefaultProperties":false,"propertyDefinitions":[{"name":"quest","label":"Quest","type":"string"}]}
POST $e/event-definitions 409 {"label":"Done","name":"done","includeDefaultProperties":false,"propertyDefinitions":[]}
GET $e/event-definitions 200
GET $e/event-definitions/pe1_done 200
POST $e/send 204 {"eventName":"pe1_done","email":"a@x.org","uuid":"e1","occurredAt":"2026-11-21T00:00:00Z","properties":{"quest":"q"}}
POST $e/send/batch 204 {"inputs":[{"eventName":"pe1_done","email":"a@x.org","properties":{}}]}
POST $e/send 400 {"eventName":"pe1_no","email":"a@x.org","properties":{}}
DELETE $e/event-definitions/pe1_done 204
"#;

/// Holds every call of `local` to the published documents, if they lie beside the checkout.
fn check_published(local: &Local) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/facts/hubspot-openapi");
    let Some(published) = Published::load(Path::new(folder)) else {
        println!("skipped: HubSpot's OpenAPI documents are not beside the checkout");
        return;
    };
    let mut faults = Vec::new();
    for call in local.hubspot.calls() {
        let (method, path) = (call.method.as_str(), call.path.as_str());
        let status = call.status.unwrap();
        let request = published.validate_request(method, path, &call.body_json());
        let answer = published.validate_response(method, path, status, &call.answer_json());
        faults.extend([request, answer].into_iter().filter_map(Result::err));
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn every_path_family_answers_as_published() {
    for (objects, properties, events, created) in [
        ("/crm/v3/objects", "/crm/v3/properties", "/events/v3", "201"),
        ("/crm/objects/2026-03", "/crm/properties/2026-03", "/events/custom/2026-03", "200"),
        ("/crm/objects/2026-09", "/crm/properties/2026-09", "/events/custom/2026-09", "200"),
    ] {
        let settings = Settings { portal_id: 1, ..Settings::default() };
        let local = start(None, settings).await;
        let script = EVERYTHING.replace("$o", objects).replace("$p", properties);
        let script = script.replace("$e", events).replace("$c", created);
        for line in script.lines().filter(|line| !line.is_empty()) {
            let mut parts = line.splitn(4, ' ');
            let mut part = || parts.next().unwrap_or("null");
            let (method, path, status, body) = (part(), part(), part(), part());
            let body = serde_json::from_str(body).unwrap();
            local.check(method, path, body, status.parse().unwrap()).await;
        }
        check_published(&local);
    }
}

#[tokio::test]
async fn a_dropped_connection_carries_not_one_byte() {
    for (kind, written) in [("drop_before", 0), ("drop_after_commit", 1), ("outage", 0)] {
        let local = start(None, Settings::default()).await;
        let fault = json!({ "kind": kind });
        local.check("POST", "/_emulator/faults", fault, 200).await;
        let body = json!({"properties": {"email": "a@x.org"}}).to_string();
        let answer = raw(local.address, "POST", "/crm/v3/objects/contacts", &body).await;
        assert_eq!(answer, "", "{kind}");
        assert_eq!(local.hubspot.contacts().len(), written, "{kind}");
        assert_eq!(local.hubspot.calls().last().unwrap().status, None);
        local.check("DELETE", "/_emulator/faults", Value::Null, 200).await;
        local.check("GET", "/crm/v3/objects/contacts", Value::Null, 200).await;
    }
}

#[tokio::test]
async fn state_survives_a_restart_and_a_reset_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let local = start(Some(folder.path()), Settings::default()).await;
    let body = json!({"properties": {"email": "a@x.org"}});
    local.check("POST", "/crm/v3/objects/contacts", body, 201).await;
    let before = local.hubspot.contacts();
    assert_eq!(before.len(), 1);
    local.hubspot.flush().await.unwrap();
    let local = start(Some(folder.path()), Settings::default()).await;
    assert_eq!(local.hubspot.contacts(), before);
    local.check("POST", "/_emulator/reset", Value::Null, 200).await;
    local.hubspot.flush().await.unwrap();
    let local = start(Some(folder.path()), Settings::default()).await;
    assert_eq!(local.hubspot.contacts(), []);
}

#[tokio::test]
async fn parallel_callers_never_get_more_than_the_window_holds() {
    const LIMIT: usize = 50;
    let settings = Settings { burst_limit: Some(50), ..Settings::default() };
    let local = start(None, settings).await;
    let address = local.address;
    let workers: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..10 {
                    raw(address, "GET", "/crm/v3/objects/contacts", "").await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let calls = local.hubspot.calls();
    assert_eq!(calls.len(), 200);
    let accepted: Vec<_> =
        calls.iter().filter(|c| !c.counted.is_empty()).map(|c| c.at.as_millisecond()).collect();
    let fullest = accepted
        .iter()
        .map(|start| accepted.iter().filter(|at| (*start..start + 10_000).contains(at)).count())
        .max();
    assert_eq!(fullest, Some(LIMIT));
    assert_eq!(local.hubspot.peak_calls_in_10_s(), LIMIT);
    assert_eq!(local.hubspot.violations().len(), calls.len() - accepted.len());
}

#[tokio::test]
async fn controls_move_the_clock_and_show_what_happened() {
    let local = start(None, Settings::default()).await;
    let create = json!({"properties": {"email": "a@x.org", "nothing": "x"}});
    local.check("POST", "/crm/v3/objects/contacts", create, 400).await;
    let create =
        json!({"inputs": [{"properties": {"email": "a@x.org"}, "objectWriteTraceId": "t1"}]});
    local.check("POST", "/crm/v3/objects/contacts/batch/create", create, 201).await;
    let shown = local.check("GET", "/_emulator/calls?after=1", Value::Null, 200).await;
    let calls = shown["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["trace_ids"], json!(["t1"]));
    assert_eq!(calls[0]["token"], "private_app");
    assert_eq!(calls[0]["counted"], json!(["TEN_SECONDLY_ROLLING", "DAILY"]));
    let shown = local.check("GET", "/_emulator/violations", Value::Null, 200).await;
    assert_eq!(shown["violations"][0]["names"], json!(["nothing"]));
    let has = json!({"filterGroups": [{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}]}]});
    let search = "/crm/v3/objects/contacts/search";
    assert_eq!(local.check("POST", search, has.clone(), 200).await["total"], 0);
    local.check("POST", "/_emulator/clock", json!({"advance_ms": 5_000}), 200).await;
    assert_eq!(local.check("POST", search, has, 200).await["total"], 1);
    let dump = local.check("GET", "/_emulator/dump", Value::Null, 200).await;
    assert_eq!(dump["objects"]["contacts"][0]["properties"]["email"], "a@x.org");
    assert!(!dump.to_string().contains(TOKEN));
    for (control, body) in [
        ("portal", json!({"portal": 7})),
        ("portal", json!({"search_lag_ms": 60_001})),
        ("faults", json!({"kind": "explode"})),
        ("clock", json!({"advance": 7})),
        ("tier", json!({"tier": "golden"})),
    ] {
        local.check("POST", &format!("/_emulator/{control}"), body, 400).await;
    }
    local.check("POST", "/_emulator/tier", json!({"tier": "starter"}), 200).await;
    let dump = local.check("GET", "/_emulator/dump", Value::Null, 200).await;
    assert_eq!(dump["settings"]["tier"], "starter");
}
