//! Raw answers over a socket: what breaks off, hangs or grows too large.

use async_trait::async_trait;
use rollcall_domain::port::{PortError, PortErrorClass};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

struct Fixed(Option<&'static str>);

#[async_trait]
impl TokenSource for Fixed {
    async fn token(&self) -> Result<Secret, PortError> {
        let unavailable =
            || PortError::new("read a secret", PortErrorClass::Unavailable, "no answer");
        self.0.map(Secret::new).ok_or_else(unavailable)
    }

    async fn renew(&self) -> bool {
        false
    }
}

/// Never has a token.
struct Stuck;

#[async_trait]
impl TokenSource for Stuck {
    async fn token(&self) -> Result<Secret, PortError> {
        std::future::pending().await
    }

    async fn renew(&self) -> bool {
        false
    }
}

/// How far one call came, in which its time-out may pass.
async fn post(url: &str, tokens: impl TokenSource + 'static, timeout_ms: u64) -> String {
    let call_timeout = Duration::from_millis(timeout_ms);
    let http = Http { call_timeout, ..Http::new(Arc::new(tokens)).unwrap() };
    match http.post(url, &json!({}), "trace-1").await {
        Exchange::NotSent => "not sent".to_owned(),
        Exchange::Unanswered => "unanswered".to_owned(),
        Exchange::Answered(Answer { status, body, .. }) => {
            let body = body.map_or("no body".to_owned(), |body| format!("{} bytes", body.len()));
            format!("{} {body}", status.as_u16())
        }
    }
}

/// Time-outs of calls that are meant to be answered, and of those that are not.
const PATIENT_MS: u64 = 10_000;
const HASTY_MS: u64 = 1_000;

/// What a server then does with the connection on which it gave its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Closes,
    Hangs,
}

/// A server that answers one request with these bytes.
async fn check(bytes: &str, then: Then, expected: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let bytes = bytes.to_owned();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        // The client may have had enough before the end.
        let written = stream.write_all(bytes.as_bytes()).await;
        if then == Then::Hangs && written.is_ok() {
            let mut rest = Vec::new();
            let _closed = stream.read_to_end(&mut rest).await;
        }
        String::from_utf8(request).unwrap()
    });
    let timeout_ms = if then == Then::Hangs { HASTY_MS } else { PATIENT_MS };
    assert_eq!(post(&url, Fixed(Some("t\n")), timeout_ms).await, expected, "{then:?}");
    server.await.unwrap()
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_does_not_end_is_told_from_one_that_never_began() {
    for then in [Then::Closes, Then::Hangs] {
        // At once, since each hanging one takes its whole time-out.
        tokio::join!(
            check("", then, "unanswered"),
            check("HTTP/1.1 200 OK\r\ncontent-le", then, "unanswered"),
            check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", then, "200 no body"),
            check("HTTP/1.1 429 \r\ncontent-length: 9\r\n\r\n{", then, "429 no body"),
        );
    }
    check("220 mail.example ESMTP\r\n", Then::Closes, "unanswered").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Then::Closes, "200 2 bytes").await;
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_whether_it_tells_its_length_or_not() {
    let answer = |length: usize, header: &str| {
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{header}\r\n{}", " ".repeat(length))
    };
    for (length, expected) in
        [(ANSWER_BYTES_MAX, "200 5242880 bytes"), (ANSWER_BYTES_MAX + 1, "200 no body")]
    {
        let told = format!("content-length: {length}\r\n");
        check(&answer(length, &told), Then::Closes, expected).await;
        check(&answer(length, ""), Then::Closes, expected).await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer = "HTTP/1.1 307 \r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    check(answer, Then::Closes, "307 0 bytes").await;
}

#[tokio::test]
async fn the_request_carries_token_and_trace_id() {
    let request = check("", Then::Closes, "unanswered").await.to_lowercase();
    for header in [
        "post /x http/1.1\r\n",
        "\r\nauthorization: bearer t\r\n",
        "\r\nx-rollcall-trace-id: trace-1\r\n",
        "\r\ncontent-type: application/json\r\n",
        "\r\nuser-agent: rollcall/",
    ] {
        assert!(request.contains(header), "{header} in {request}");
    }
}

#[tokio::test]
async fn what_never_left_us_is_known_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody looks at these connections: that they are not made shows in the answers.
    for (tokens, expected) in [(None, "not sent"), (Some("a\nb"), "401 no body")] {
        let url = format!("http://{address}");
        assert_eq!(post(&url, Fixed(tokens), HASTY_MS).await, expected, "{tokens:?}");
    }
    assert_eq!(post(&format!("http://{address}"), Stuck, HASTY_MS).await, "not sent");
    assert_eq!(post("nowhere", Fixed(Some("t")), PATIENT_MS).await, "not sent");
    drop(listener);
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{address}");
        assert_eq!(post(&url, Fixed(Some("t")), PATIENT_MS).await, "not sent", "{url}");
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_does_not_prove_who_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 1];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        hello
    });
    assert_eq!(post(&url, Fixed(Some("t")), PATIENT_MS).await, "not sent");
    // The first byte of a TLS handshake (RFC 8446 §5.1).
    assert_eq!(server.await.unwrap(), [22]);
}

#[tokio::test]
async fn calls_that_follow_each_other_share_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let http = Http::new(Arc::new(Fixed(Some("t")))).unwrap();
    for _ in 0..2 {
        let exchange = http.post(&url, &json!({}), "").await;
        assert!(matches!(exchange, Exchange::Answered(_)), "{exchange:?}");
    }
    server.await.unwrap();
}

#[test]
fn a_call_ends_before_its_leases_do() {
    let seconds = i64::try_from(CALL_TIMEOUT.as_secs()).unwrap();
    assert!(seconds < rollcall_crm::limits::CALL_SECONDS_MAX);
}
