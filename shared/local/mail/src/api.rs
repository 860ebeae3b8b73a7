//! `SendEmail` of the Amazon SES API v2: the AWS REST JSON protocol, errors named in
//! `x-amzn-errortype`.
//!
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::{FaultKind, Mail, Message};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
/// Recipients of one message (SES's own limit).
const RECIPIENTS_MAX: usize = 50;

/// A refusal as it goes out.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    fn rejected(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MessageRejected", message)
    }

    fn away() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service Unavailable")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        tracing::debug!(kind = self.kind, "refused");
        let headers = [("x-amzn-errortype", self.kind)];
        (self.status, headers, Json(json!({ "message": self.message }))).into_response()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(default)]
    from_email_address: String,
    #[serde(default)]
    destination: Destination,
    content: EmailContent,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Destination {
    #[serde(rename = "ToAddresses")]
    to: Vec<String>,
    #[serde(rename = "CcAddresses")]
    copies: Vec<String>,
    #[serde(rename = "BccAddresses")]
    blind_copies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EmailContent {
    simple: Option<Simple>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simple {
    subject: Content,
    body: Body,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    text: Option<Content>,
    html: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    data: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    name: String,
    value: String,
}

/// Takes a message, or refuses it as SES does.
pub(crate) async fn send_email(
    State(mail): State<Mail>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let principal = mail.shared.iam.principal(&headers).ok_or_else(|| {
        let message = "The security token included in the request is invalid.";
        Refused::new(StatusCode::FORBIDDEN, "UnrecognizedClientException", message)
    })?;
    let input: Input =
        serde_json::from_slice(&body).map_err(|error| Refused::bad_request(error.to_string()))?;
    let domain = domain_of(&input.from_email_address)
        .ok_or_else(|| Refused::bad_request("Illegal address"))?;
    let arn = format!("arn:aws:ses:{REGION}:{ACCOUNT}:identity/{domain}");
    mail.shared.iam.authorize(&principal, "ses:SendEmail", &arn).map_err(|denied| {
        Refused::new(StatusCode::FORBIDDEN, "AccessDeniedException", denied.to_string())
    })?;
    let fault = mail.next_fault();
    match fault {
        Some(FaultKind::Throttle) => {
            let message = "Maximum sending rate exceeded.";
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Refused::new(status, "TooManyRequestsException", message));
        }
        Some(FaultKind::Outage) => return Err(Refused::away()),
        Some(FaultKind::Reject) => {
            let to = input.destination.to.join(", ");
            let message = format!(
                "Email address is not verified. The following identities failed the check in \
                 region US-EAST-1: {to}"
            );
            return Err(Refused::rejected(message));
        }
        Some(FaultKind::LostAnswer) | None => {}
    }
    if !mail.shared.domains.contains(&domain) {
        let from = &input.from_email_address;
        return Err(Refused::rejected(format!(
            "Email address is not verified. The following identities failed the check in region \
             US-EAST-1: {from}"
        )));
    }
    let message = message(&mail, input)?;
    let id = message.id.clone();
    mail.keep(message);
    if fault == Some(FaultKind::LostAnswer) {
        return Err(Refused::away());
    }
    Ok(Json(json!({ "MessageId": id })).into_response())
}

fn message(mail: &Mail, input: Input) -> Result<Message, Refused> {
    let Destination { to, copies, blind_copies } = input.destination;
    let to = [to, copies, blind_copies].concat();
    if to.is_empty() {
        return Err(Refused::bad_request("Missing required header 'To'."));
    }
    if to.len() > RECIPIENTS_MAX {
        return Err(Refused::bad_request("Recipient count exceeds 50."));
    }
    if !to.iter().all(|address| is_mailbox(address)) {
        return Err(Refused::bad_request("Illegal address"));
    }
    let Some(Simple { subject, body, headers }) = input.content.simple else {
        return Err(Refused::bad_request("Only simple content is known here."));
    };
    if body.text.is_none() && body.html.is_none() {
        return Err(Refused::bad_request("Missing body."));
    }
    let data = |content: Option<Content>| content.map(|content| content.data).unwrap_or_default();
    Ok(Message {
        id: new_id(),
        at: mail.shared.clock.now().to_string(),
        from: input.from_email_address,
        to,
        subject: subject.data,
        text: data(body.text),
        html: data(body.html),
        headers: headers.into_iter().map(|header| (header.name, header.value)).collect(),
    })
}

/// The domain of an address, with or without a display name before it.
fn domain_of(from: &str) -> Option<String> {
    let address = from.strip_suffix('>').and_then(|from| from.rsplit_once('<'));
    let address = address.map_or(from, |(_name, address)| address);
    let (_, domain) = address.rsplit_once('@').filter(|_| is_mailbox(address))?;
    Some(domain.to_lowercase())
}

/// Whether SES would take this as one address.
fn is_mailbox(address: &str) -> bool {
    let parts = address.split_once('@');
    let odd =
        |character: char| !character.is_ascii_graphic() || ",;:<>()[]\"\\@".contains(character);
    parts.is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !local.contains(odd) && !domain.contains(odd)
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place where message ids are drawn")]
fn new_id() -> String {
    format!("0100{}-000000", uuid::Uuid::new_v4())
}

/// Every other call.
pub(crate) async fn unknown() -> Refused {
    let message = "The local cloud knows SendEmail of SES v2 alone.";
    Refused::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
}
