//! The gateway over a real socket: events, answers, limits and CORS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rollcall_local_kit::Server;
use rollcall_local_lambda::gateway::INTEGRATION_TIMEOUT;
use rollcall_local_lambda::{Cors, GatewayOptions, RouteSpec, Throttle, router};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::{Cloud, touch};

struct Api {
    cloud: Cloud,
    address: SocketAddr,
}

impl Api {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// An API whose every route leads to the sample function, which answers its event.
    async fn with(change: impl FnOnce(&mut GatewayOptions)) -> Self {
        let cloud = Cloud::new();
        let routes = ["GET /courses/{slug}", "POST /courses/{slug}", "POST /answer"];
        let mut options = GatewayOptions {
            lambda: cloud.lambda.clone(),
            clock: cloud.clock.clone(),
            routes: routes
                .iter()
                .filter_map(|key| key.split_once(' '))
                .map(|(method, path)| RouteSpec {
                    method: method.to_owned(),
                    path: path.to_owned(),
                    function: "sample".to_owned(),
                })
                .collect(),
            cors: None,
            throttle: None,
            domain_name: "api.rollcall.localhost:9000".to_owned(),
            integration_timeout: INTEGRATION_TIMEOUT,
        };
        change(&mut options);
        let server = Server::bind(0).await.unwrap();
        let address = server.address();
        server.serve(router(options), cloud.shutdown.clone());
        Self { cloud, address }
    }

    /// Sends a request from 127.0.0.2.
    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        connection.abort();
        (parts.status, parts.headers, body.to_vec())
    }

    async fn event(&self, request: Request<Body>) -> Value {
        let (status, _, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).unwrap()
    }
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header("host", "api.rollcall.localhost:9000");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

fn take(value: &mut Value, pointer: &str) -> Value {
    value.pointer_mut(pointer).map(Value::take).unwrap()
}

/// A request with everything that can be said in one.
fn full_request() -> Request<Body> {
    request(
        "POST",
        "/courses/intro%20to%20rust?tag=a&tag=b%20c&plus=1+1&empty=",
        &[
            ("Cookie", "__Host-rollcall_session=abc; theme=dark"),
            ("Cookie", "third=3"),
            ("X-Many", "one"),
            ("X-Many", "two"),
            ("User-Agent", "tests/1.0"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("X-Forwarded-For", "203.0.113.7"),
            ("X-Forwarded-Proto", "gopher"),
            ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ],
        r#"{"note":"h\u00e9"}"#,
    )
}

#[tokio::test]
async fn the_event_is_the_one_of_api_gateway() {
    let api = Api::new().await;
    let mut event = api.event(full_request()).await;
    let time_ms = take(&mut event, "/requestContext/timeEpoch").as_i64().unwrap();
    assert!((0..60_000).contains(&(api.cloud.clock.now_ms() - time_ms)));
    let time = take(&mut event, "/requestContext/time");
    let time = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time.as_str().unwrap());
    let time = time.unwrap().to_timestamp().unwrap();
    assert_eq!(time.as_second(), time_ms / 1000);
    assert_eq!(take(&mut event, "/requestContext/requestId").as_str().unwrap().len(), 24);
    assert_eq!(
        event,
        json!({
            "version": "2.0",
            "routeKey": "POST /courses/{slug}",
            "rawPath": "/courses/intro to rust",
            "rawQueryString": "tag=a&tag=b%20c&plus=1+1&empty=",
            "cookies": ["__Host-rollcall_session=abc", "theme=dark", "third=3"],
            "headers": {
                "content-length": "18",
                "content-type": "application/json; charset=utf-8",
                "host": "api.rollcall.localhost:9000",
                "user-agent": "tests/1.0",
                "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
                "x-forwarded-for": "203.0.113.7, 127.0.0.2",
                "x-forwarded-port": "9000",
                "x-forwarded-proto": "http",
                "x-many": "one,two",
            },
            "queryStringParameters": { "tag": "a,b c", "plus": "1 1", "empty": "" },
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "domainName": "api.rollcall.localhost:9000",
                "domainPrefix": "api",
                "http": {
                    "method": "POST",
                    "path": "/courses/intro to rust",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.2",
                    "userAgent": "tests/1.0",
                },
                "requestId": null,
                "routeKey": "POST /courses/{slug}",
                "stage": "$default",
                "time": null,
                "timeEpoch": null,
            },
            "pathParameters": { "slug": "intro to rust" },
            "body": r#"{"note":"h\u00e9"}"#,
            "isBase64Encoded": false,
        })
    );
}

#[tokio::test]
async fn what_a_request_lacks_the_event_lacks_too() {
    let api = Api::new().await;
    let event = api.event(request("GET", "/courses/rust", &[], "")).await;
    let names: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "headers",
            "isBase64Encoded",
            "pathParameters",
            "rawPath",
            "rawQueryString",
            "requestContext",
            "routeKey",
            "version"
        ]
    );
    assert_eq!(event["rawQueryString"], "");
}

#[tokio::test]
async fn a_body_is_text_only_for_the_types_that_aws_takes_for_text() {
    let api = Api::new().await;
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    for (headers, body, expected, encoded) in [
        (vec![("content-type", json)], &b"{}"[..], "{}", false),
        (vec![("content-type", "Text/Plain")], b"a", "a", false),
        (vec![("content-type", form)], b"a=b", "YT1i", true),
        (vec![("content-type", "image/png")], b"\xff\x00", "/wA=", true),
        (vec![("content-type", json)], b"\xff", "/w==", true),
        (vec![("content-type", json), ("content-encoding", "gzip")], b"{}", "e30=", true),
        (vec![], b"a", "YQ==", true),
    ] {
        let event = api.event(request("POST", "/courses/x", &headers, body)).await;
        assert_eq!(event["body"], expected, "{headers:?}");
        assert_eq!(event["isBase64Encoded"], encoded, "{headers:?}");
    }
}

/// Lets the function give `answer`, and returns what the client gets.
async fn check_answer(answer: Value) -> (StatusCode, HeaderMap, Vec<u8>) {
    let api = Api::new().await;
    let mut spec = api.cloud.spec("sample");
    spec.environment.insert("ANSWER".to_owned(), answer.to_string());
    api.cloud.lambda.add(spec);
    api.send(request("POST", "/answer", &[], "")).await
}

#[tokio::test]
async fn cookies_and_bytes_reach_the_client() {
    let (status, headers, body) = check_answer(json!({
        "statusCode": 201,
        "headers": { "Content-Type": "image/png", "connection": "close", "X-Version": 7 },
        "cookies": ["a=1; HttpOnly", "b=2"],
        "body": "/wA=",
        "isBase64Encoded": true,
    }))
    .await;
    assert_eq!((status.as_u16(), body.as_slice()), (201, &b"\xff\x00"[..]));
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2"]);
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-version"], "7");
    assert_eq!(headers["content-length"], "2");
    assert!(!headers.contains_key("connection"));
    assert_eq!(headers["apigw-requestid"].len(), 24);
}

async fn check_refusal(api: &Api, request: Request<Body>, status: u16, message: &str) {
    let (found, headers, body) = api.send(request).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((found.as_u16(), body), (status, json!({ "message": message })));
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.contains_key("apigw-requestid"));
}

#[tokio::test]
async fn the_gateway_refuses_with_the_statuses_of_aws() {
    let api = Api::new().await;
    for (method, path) in [("GET", "/nowhere"), ("DELETE", "/courses/x"), ("OPTIONS", "/answer")] {
        check_refusal(&api, request(method, path, &[], ""), 404, "Not Found").await;
    }
    let large = "x".repeat(10 * 1024 * 1024 + 1);
    let refused = request("POST", "/answer", &[], large);
    check_refusal(&api, refused, 413, "Request Entity Too Large").await;
    let large = "x".repeat(10_240);
    let refused = request("POST", "/answer", &[("x-large", &large)], "");
    check_refusal(&api, refused, 431, "Request Header Fields Too Large").await;
    let mut spec = api.cloud.spec("sample");
    spec.environment.insert("ANSWER".to_owned(), json!({ "statusCode": "200" }).to_string());
    api.cloud.lambda.add(spec);
    let malformed = request("POST", "/answer", &[], "");
    check_refusal(&api, malformed, 500, "Internal Server Error").await;
    let mut spec = api.cloud.spec("sample");
    spec.environment.insert("FAIL_INIT".to_owned(), "1".to_owned());
    api.cloud.lambda.add(spec);
    let failed = request("POST", "/answer", &[], "");
    check_refusal(&api, failed, 500, "Internal Server Error").await;
    let mut spec = api.cloud.spec("sample");
    spec.reserved_concurrency = Some(0);
    api.cloud.lambda.add(spec);
    let throttled = request("POST", "/answer", &[], "");
    check_refusal(&api, throttled, 503, "Service Unavailable").await;
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_not_waited_for_but_runs_on() {
    let api = Api::with(|options| options.integration_timeout = Duration::from_millis(300)).await;
    let mut spec = api.cloud.spec("sample");
    spec.environment.insert("ANSWER".to_owned(), "hold".to_owned());
    api.cloud.lambda.add(spec);
    let slow = request("POST", "/answer", &[], "");
    check_refusal(&api, slow, 503, "Service Unavailable").await;
    touch(&api.cloud.path("release"));
    crate::support::eventually("the invocation ends", || {
        let reports = api.cloud.logs.reports();
        reports.iter().any(|report| report.outcome == "success").then_some(())
    })
    .await;
}

#[tokio::test]
async fn more_requests_than_the_burst_are_refused() {
    let throttle = Throttle { rate_per_second: 0, burst: 2 };
    let api = Api::with(|options| options.throttle = Some(throttle)).await;
    for _ in 0..2 {
        api.event(request("GET", "/courses/x", &[], "")).await;
    }
    let third = request("GET", "/courses/x", &[], "");
    check_refusal(&api, third, 429, "Too Many Requests").await;
}

/// The CORS headers of an answer, without their common prefix.
async fn check_cors(api: &Api, method: &str, origin: Option<&str>, expected: &[(&str, &str)]) {
    let mut headers = vec![];
    headers.extend(origin.map(|origin| ("origin", origin)));
    if method == "OPTIONS" {
        headers.push(("access-control-request-method", "POST"));
    }
    let (status, headers, _) = api.send(request(method, "/courses/x", &headers, "")).await;
    let mut found: Vec<(&str, &str)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("access-control-")?;
            Some((name, value.to_str().unwrap()))
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{method} {origin:?}");
    let preflight = method == "OPTIONS" && origin.is_some();
    let routed = if method == "OPTIONS" { 404 } else { 200 };
    assert_eq!(status.as_u16(), if preflight { 204 } else { routed });
}

#[tokio::test]
async fn cors_follows_the_configuration_and_never_the_function() {
    let api = Api::with(|options| {
        options.cors = Some(Cors {
            allow_origins: vec!["*".to_owned(), "http://localhost:3000".to_owned()],
            allow_methods: vec!["GET".to_owned(), "POST".to_owned()],
            allow_headers: vec!["content-type".to_owned(), "x-csrf-token".to_owned()],
            expose_headers: vec!["etag".to_owned()],
            allow_credentials: true,
            max_age_seconds: Some(600),
        });
    })
    .await;
    let mut spec = api.cloud.spec("sample");
    let answer = json!({
        "statusCode": 200,
        "headers": {
            "access-control-allow-origin": "https://evil.example",
            "access-control-allow-credentials": "true",
            "Access-Control-Max-Age": "1",
        },
    });
    spec.environment.insert("ANSWER".to_owned(), answer.to_string());
    api.cloud.lambda.add(spec);
    let named = ("allow-origin", "http://localhost:3000");
    let anyone = ("allow-origin", "*");
    let exposed = ("expose-headers", "etag");
    let preflight = [("allow-headers", "content-type,x-csrf-token"), ("allow-methods", "GET,POST")];
    let (credentials, age) = (("allow-credentials", "true"), ("max-age", "600"));
    check_cors(&api, "GET", None, &[]).await;
    check_cors(&api, "GET", Some(named.1), &[credentials, named, exposed]).await;
    check_cors(&api, "GET", Some("https://evil.example"), &[anyone, exposed]).await;
    let invocations = api.cloud.logs.reports().len();
    check_cors(
        &api,
        "OPTIONS",
        Some(named.1),
        &[credentials, preflight[0], preflight[1], named, exposed, age],
    )
    .await;
    check_cors(
        &api,
        "OPTIONS",
        Some("https://evil.example"),
        &[preflight[0], preflight[1], anyone, exposed, age],
    )
    .await;
    check_cors(&api, "OPTIONS", None, &[]).await;
    assert_eq!(api.cloud.logs.reports().len(), invocations, "no preflight invokes");
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_gets_no_cors_headers() {
    let api = Api::with(|options| {
        options.cors = Some(Cors {
            allow_origins: vec!["https://rollcall.example".to_owned(), "http://*".to_owned()],
            allow_methods: vec!["GET".to_owned()],
            ..Cors::default()
        });
    })
    .await;
    let allowed = "https://rollcall.example";
    check_cors(&api, "GET", Some(allowed), &[("allow-origin", allowed)]).await;
    let local = "http://localhost:5173";
    check_cors(&api, "GET", Some(local), &[("allow-origin", local)]).await;
    for stranger in ["https://rollcall.example.evil", "https://rollcall.exampl", "null"] {
        check_cors(&api, "GET", Some(stranger), &[]).await;
        check_cors(&api, "OPTIONS", Some(stranger), &[]).await;
    }
}
