//! What the routes have in common that draw a certificate.

use rollcall_credentials::Issuer;
use rollcall_domain::certificate::Certificate;
use rollcall_domain::time::day;
use rollcall_edge::Problem;
use rollcall_edge::problem::INTERNAL;
use rollcall_print::{DrawingError, Sheet};

use crate::qr::{self, QrError};

/// Draws the sheet of a certificate by `draw`.
pub(crate) fn drawn(
    issuer: &Issuer,
    certificate: &Certificate,
    draw: impl FnOnce(&Sheet<'_>) -> Result<Vec<u8>, DrawingError>,
) -> Result<Vec<u8>, SheetError> {
    let url = issuer.certificate_url(&certificate.id);
    let sheet = Sheet {
        issuer: &issuer.name,
        holder: certificate.shown_name(),
        kind: certificate.earned.name.kind.as_str(),
        title: &certificate.title,
        summary: &certificate.summary,
        earned_on: &day(certificate.earned.earned_at),
        url: &url,
        code: &qr::rows(&url)?,
        is_revoked: certificate.revocation.is_some(),
    };
    Ok(draw(&sheet)?)
}

/// Why nothing is drawn.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SheetError {
    #[error(transparent)]
    Qr(#[from] QrError),
    #[error(transparent)]
    Drawing(#[from] DrawingError),
}

impl From<SheetError> for Problem {
    fn from(error: SheetError) -> Self {
        tracing::error!(%error, "a certificate cannot be drawn");
        match error {
            SheetError::Qr(_) | SheetError::Drawing(_) => Self::new(&INTERNAL),
        }
    }
}
