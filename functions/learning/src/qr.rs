//! QR codes (ISO/IEC 18004), drawn.

use qrcode::types::QrError as Unencodable;
use qrcode::{Color, EcLevel, QrCode};

/// Modules of white around the code, which scanners need (§5.3.8).
const QUIET: usize = 4;

/// The text does not fit into a code.
#[derive(Debug, thiserror::Error)]
#[error("the text has no QR code: {0}")]
pub(crate) struct QrError(Unencodable);

/// A code as rows of dark and light modules.
pub(crate) fn rows(text: &str) -> Result<Vec<Vec<bool>>, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(QrError)?;
    let colors = code.to_colors();
    let rows = colors.chunks(code.width());
    Ok(rows.map(|row| row.iter().map(|color| *color == Color::Dark).collect()).collect())
}

/// A code as an image that stands in a page.
pub(crate) fn svg(text: &str) -> Result<String, QrError> {
    let rows = rows(text)?;
    let side = rows.len() + 2 * QUIET;
    let mut path = String::new();
    for (y, row) in rows.iter().enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, is_dark)| **is_dark) {
            path.extend(["M", &(x + QUIET).to_string(), " ", &(y + QUIET).to_string(), "h1v1h-1z"]);
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"180\" height=\"180\" \
         viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"QR code with the address of this page\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}
