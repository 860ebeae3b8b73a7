//! How certificates look on the wire.

use rollcall_domain::certificate::Certificate;
use rollcall_domain::id::CertificateId;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{FromRequest, HttpRequest, Problem};
use schemars::JsonSchema;
use serde::Serialize;

/// A certificate.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Certificate")]
pub(crate) struct CertificateView {
    /// Its id, under which it is public.
    pub(crate) certificate_id: String,
    /// `module`, `course` or `pathway`.
    pub(crate) kind: &'static str,
    /// For which module, course or pathway.
    pub(crate) slug: String,
    /// What that was called when it was completed.
    pub(crate) title: String,
    /// What it was about.
    pub(crate) summary: String,
    /// `valid` or `revoked`.
    pub(crate) status: &'static str,
    /// The holder's name, if they want it shown.
    pub(crate) holder_name: Option<String>,
    /// The version of the catalogue that it was completed by.
    pub(crate) catalog_version: String,
    /// The modules that were complete; of a module, the tasks that were done.
    pub(crate) evidence: Vec<String>,
    /// When it was earned (RFC 3339, UTC).
    pub(crate) earned_at: String,
    /// Since when it counts no more (RFC 3339, UTC).
    pub(crate) revoked_at: Option<String>,
}

/// The certificate that a path names, for routes that need nothing else.
#[derive(Debug)]
pub(crate) struct CertificateInput(pub(crate) CertificateId);

impl FromRequest for CertificateInput {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        certificate(request).map(Self)
    }
}

/// The certificate that a path names. What cannot be one is not found, as what does not exist.
pub(crate) fn certificate(request: &HttpRequest) -> Result<CertificateId, Problem> {
    request.path_parameter("id").parse().map_err(|_invalid| Problem::new(&NOT_FOUND))
}

/// Whether a certificate counts, in a word.
pub(crate) fn status(certificate: &Certificate) -> &'static str {
    if certificate.revocation.is_some() { "revoked" } else { "valid" }
}

impl From<&Certificate> for CertificateView {
    fn from(certificate: &Certificate) -> Self {
        let earned = &certificate.earned;
        Self {
            certificate_id: certificate.id.to_string(),
            kind: earned.name.kind.as_str(),
            slug: earned.name.slug.to_string(),
            title: certificate.title.clone(),
            summary: certificate.summary.clone(),
            status: status(certificate),
            holder_name: certificate.shown_name().map(ToOwned::to_owned),
            catalog_version: earned.catalog.to_string(),
            evidence: earned.evidence.iter().map(ToString::to_string).collect(),
            earned_at: earned.earned_at.to_string(),
            revoked_at: certificate.revocation.as_ref().map(|revoked| revoked.at.to_string()),
        }
    }
}
