//! Takes what HubSpot tells us: checks that HubSpot signed it, leaves out what is about our own
//! writes or about nothing of ours, and puts the rest into a queue. Whatever follows from it is done
//! behind the queue ([`crate::crm_inbound`]), so HubSpot has its answer at once.
//!
//! The signature covers the URL that HubSpot calls. That one is configured, since what a request says
//! about its host is its sender's to choose.

use std::sync::Arc;

use rollcall_crm::inbound::work::Delivery;
use rollcall_crm::inbound::{Notice, Screened, screen};
use rollcall_crm::pending::token;
use rollcall_domain::random::Random;
use rollcall_edge::problem::{INTERNAL, MALFORMED};
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_hubspot::webhook::{InvalidEvents, SignedRequest, notices};
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue, SecretName};
use rollcall_runtime::declaration::{Operation, ProblemKind, RateClass};
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use rollcall_store::PortError;

use crate::settings::{HUBSPOT_APP_ID, HUBSPOT_WEBHOOK_URL};

/// Bytes of a request: a hundred events, some with long values.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-webhook",
    purpose: "Takes what HubSpot tells us.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/webhooks/hubspot" })],
    rate: RateClass::Signed,
    grants: &[&[Grant::send(Queue::CrmInbound), Grant::secret(SecretName::HubSpotClientSecret)]],
    settings: &[&HUBSPOT_WEBHOOK_URL, &HUBSPOT_APP_ID],
    operation: Operation { problems: &[&MALFORMED, &NOT_SIGNED], ..Operation::EMPTY },
    body_bytes_max: REQUEST_BYTES_MAX,
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

/// Somebody else sent it, or it is old.
static NOT_SIGNED: ProblemKind = ProblemKind {
    code: "not-signed",
    status: 401,
    title: "The request is not signed by HubSpot.",
    advice: "Only HubSpot calls this route, with a signature of the last five minutes.",
};

struct Ports {
    queue: QueueSender,
    secret: SecretReader,
    url: String,
    app_id: String,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            queue: startup.queue(Queue::CrmInbound)?,
            secret: startup.secret(SecretName::HubSpotClientSecret)?,
            url: startup.setting(&HUBSPOT_WEBHOOK_URL)?.to_owned(),
            app_id: startup.setting(&HUBSPOT_APP_ID)?.to_owned(),
            random: startup.random(),
        })
    }
}

/// A request as it came. A header that is lacking signs nothing.
#[derive(Debug)]
struct Input {
    body: Vec<u8>,
    timestamp: String,
    signature: String,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        Ok(Self {
            body: request.body().to_vec(),
            timestamp: header("x-hubspot-request-timestamp"),
            signature: header("x-hubspot-signature-v3"),
        })
    }
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CrmWebhookError> {
    let request = SignedRequest {
        method: Method::Post.as_str(),
        url: &ports.url,
        body: &input.body,
        timestamp: &input.timestamp,
        signature: &input.signature,
    };
    let check = |secret: &_| request.is_signed_with(secret).then_some(());
    if !request.is_fresh(context.now) || ports.secret.verify(context.now, check).await?.is_none() {
        emit(context.now, &[(Metric::CrmForged, 1.0)]);
        return Err(CrmWebhookError::NotSigned);
    }
    let notices = concerning(ports, context, &input.body)?;
    if notices.is_empty() {
        return Ok(Response::no_content());
    }
    let taken = notices.len();
    let id = token(ports.random.as_ref());
    let delivery = Delivery { id, trace_id: context.trace_id.clone(), looks: 0, notices };
    let message = serde_json::to_string(&delivery).map_err(CrmWebhookError::Message)?;
    ports.queue.send(message, 0).await?;
    tracing::info!(delivery = delivery.id, taken, "notices of the CRM are taken");
    Ok(Response::no_content())
}

/// The notices that have to be looked at.
fn concerning(
    ports: &Ports,
    context: &Context,
    body: &[u8],
) -> Result<Vec<Notice>, CrmWebhookError> {
    let (mut concerns, mut echoes, mut foreign) = (Vec::new(), 0_u32, 0_u32);
    for told in notices(body, &ports.app_id)? {
        match told.map(|(notice, author)| (screen(&notice.happened, author), notice)) {
            Some((Screened::Concerns, notice)) => concerns.push(notice),
            Some((Screened::Echo, _)) => echoes += 1,
            Some((Screened::Foreign, _)) | None => foreign += 1,
        }
    }
    let counts = [(Metric::CrmEchoes, echoes), (Metric::CrmForeign, foreign)];
    emit(context.now, &counts.map(|(metric, count)| (metric, f64::from(count))));
    Ok(concerns)
}

#[derive(Debug, thiserror::Error)]
enum CrmWebhookError {
    #[error("HubSpot did not sign this, or not lately")]
    NotSigned,
    #[error(transparent)]
    Events(#[from] InvalidEvents),
    #[error("notices cannot be written down")]
    Message(#[source] serde_json::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmWebhookError> for Problem {
    fn from(error: CrmWebhookError) -> Self {
        match error {
            CrmWebhookError::NotSigned => Self::new(&NOT_SIGNED),
            CrmWebhookError::Events(_) => {
                Self::new(&MALFORMED).with_detail("the body is not a list of events")
            }
            CrmWebhookError::Message(_) => Self::new(&INTERNAL),
            CrmWebhookError::Port(error) => Self::port(&error),
        }
    }
}
