//! Shows a certificate to whoever has its address: a page for people, which needs no script, or JSON
//! for those who ask for it. It says what is so at this request: a certificate that was revoked a moment
//! ago is shown as revoked, and one that does not exist as unknown. It is found by an index and never
//! by looking through the table (fault C6).

use rollcall_credentials::Issuer;
use rollcall_domain::certificate::Certificate;
use rollcall_domain::id::CertificateId;
use rollcall_domain::time::day;
use rollcall_edge::problem::{INTERNAL, NOT_FOUND};
use rollcall_edge::response::escape;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::CertificateFinder;
use rollcall_store::{Capability, PortError};

use crate::certificate_view::CertificateView;
use crate::qr::{self, QrError};
use crate::{settings, signing};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-get",
    purpose: "Shows a certificate to everybody, as a page or as JSON.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/certificates/{id}" })],
    grants: &[CertificateFinder::GRANTS],
    settings: &[&settings::CREDENTIALS_URL, &settings::ISSUER_NAME],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<CertificateView>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    certificates: CertificateFinder,
    issuer: Issuer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()?, issuer: signing::issuer(startup)? })
    }
}

struct Input {
    /// What is no id names no certificate.
    id: Option<CertificateId>,
    wants_json: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let wanted = request.header("accept").unwrap_or_default().to_ascii_lowercase();
        let wants_json = wanted.contains("application/json") && !wanted.contains("text/html");
        Ok(Self { id: request.path_parameter("id").parse().ok(), wants_json })
    }
}

async fn handle(
    ports: &Ports,
    _context: &Context,
    input: Input,
) -> Result<Response, CertificateGetError> {
    let found = match &input.id {
        Some(id) => ports.certificates.find(id).await?,
        None => None,
    };
    let response = match (found, input.wants_json) {
        (Some(certificate), true) => Response::json(200, &CertificateView::from(&certificate)),
        (Some(certificate), false) => page(&ports.issuer, &certificate)?,
        (None, true) => return Err(CertificateGetError::NotFound),
        (None, false) => unknown(),
    };
    Ok(response.with_header("vary", "accept"))
}

fn unknown() -> Response {
    let text = "There is no certificate at this address. Whoever showed it to you may have mistyped it, \
                or its holder has left and taken everything about them along.";
    Response::page_with_html(404, ("Unknown certificate", text), "")
}

fn page(issuer: &Issuer, certificate: &Certificate) -> Result<Response, QrError> {
    let url = issuer.certificate_url(&certificate.id);
    let text = match &certificate.revocation {
        None => format!("This certificate is valid: {} vouches for it.", issuer.name),
        Some(revoked) => {
            format!("This certificate was revoked on {} and counts no more.", day(revoked.at))
        }
    };
    let facts = [
        ("Awarded to", certificate.shown_name().unwrap_or("a learner who shows no name")),
        (
            "For completing",
            &format!("the {} “{}”", certificate.earned.name.kind, certificate.title),
        ),
        ("What it is about", &certificate.summary),
        ("Earned on", &day(certificate.earned.earned_at)),
        ("Issued by", &issuer.name),
        ("Certificate", certificate.id.as_str()),
    ];
    let facts: Vec<String> = facts
        .iter()
        .map(|(name, value)| format!("<dt>{}</dt>\n<dd>{}</dd>\n", escape(name), escape(value)))
        .collect();
    let facts = facts.concat();
    let qr = qr::svg(&url)?;
    let url = escape(&url);
    let html = format!(
        "<dl>\n{facts}</dl>\n{qr}\n<p>Address of this page: <a href=\"{url}\">{url}</a></p>\n\
         <p>To print: <a href=\"{url}/certificate.pdf\">PDF</a>. To share, with the credential in it: \
         <a href=\"{url}/image.png\">picture</a></p>\n\
         <p><a href=\"{url}/credential\">Open Badges 3.0 credential</a>, for programs that check it by \
         themselves</p>"
    );
    Ok(Response::page_with_html(200, (&certificate.title, &text), &html))
}

#[derive(Debug, thiserror::Error)]
enum CertificateGetError {
    #[error("no such certificate")]
    NotFound,
    #[error(transparent)]
    Qr(#[from] QrError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateGetError> for Problem {
    fn from(error: CertificateGetError) -> Self {
        match error {
            CertificateGetError::NotFound => Self::new(&NOT_FOUND),
            CertificateGetError::Qr(error) => {
                tracing::error!(%error, "the address of a certificate has no QR code");
                Self::new(&INTERNAL)
            }
            CertificateGetError::Port(error) => Self::port(&error),
        }
    }
}
