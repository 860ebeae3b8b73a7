//! Certificates to hold: one sheet, as a PDF to print and as a PNG to share.
//!
//! [`layout`] decides where everything stands, and [`pdf`] and [`png`] draw it. The font is Noto Serif,
//! cut to the Latin, Greek, Cyrillic and Vietnamese letters (`font/OFL.txt`); a character that it lacks
//! is drawn as an empty box.

pub mod font;
pub mod layout;
pub mod pdf;
pub mod png;

pub use layout::Sheet;

/// A sheet cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawingError {
    /// The font is not one.
    #[error("the font cannot be read")]
    Font,
    /// There is no such picture.
    #[error("the picture is too large")]
    Size,
    /// Compressing failed.
    #[error("the file could not be compressed")]
    Compression(#[from] std::io::Error),
}
