//! How pieces of work look on the wire, and how they are sent.

use rollcall_domain::id::PieceId;
use rollcall_domain::portfolio::{Content, Piece, RawContent, Shelf};
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{FieldError, HttpRequest, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is said about a piece of work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PieceContent")]
pub(crate) struct Body {
    /// Its name, 1 to 120 characters.
    title: String,
    /// What it is, up to 2 000 characters. It is text and never mark-up.
    #[serde(default)]
    description: String,
    /// Where it is: an https URL of up to 2 048 characters.
    url: Option<String>,
    /// When it was made, from 1800 to 2100.
    year: Option<i32>,
}

/// A piece of work.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Piece")]
pub(crate) struct PieceView {
    /// The id.
    id: String,
    /// Its name.
    title: String,
    /// What it is; may be empty. It is text and never mark-up.
    description: String,
    /// Where it is, by https.
    url: Option<String>,
    /// When it was made.
    year: Option<i32>,
    /// When it was put here (RFC 3339, UTC).
    created_at: String,
    /// Counts its changes; the entity tag that a change has to name is this in quotes.
    version: u64,
}

/// Everything on a shelf.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pieces")]
pub(crate) struct ShelfView {
    /// The newest first, all of them: there are at most fifty.
    pub(crate) items: Vec<PieceView>,
}

impl From<Piece> for PieceView {
    fn from(piece: Piece) -> Self {
        let Content { title, description, url, year } = piece.content;
        Self {
            id: piece.id.into(),
            title,
            description,
            url,
            year,
            created_at: piece.created_at.to_string(),
            version: piece.version,
        }
    }
}

impl From<Vec<Piece>> for ShelfView {
    fn from(pieces: Vec<Piece>) -> Self {
        Self { items: pieces.into_iter().map(PieceView::from).collect() }
    }
}

/// The shelf that a request's route names.
pub(crate) fn shelf(request: &HttpRequest) -> Result<Shelf, Problem> {
    let mut segments = request.route().split('/');
    let shelf = segments.find_map(|segment| segment.parse().ok());
    shelf.ok_or_else(|| Problem::new(&NOT_FOUND))
}

/// The piece that a request's path names.
pub(crate) fn piece(request: &HttpRequest) -> Result<PieceId, Problem> {
    request.path_parameter("id").parse().map_err(|_error| Problem::new(&NOT_FOUND))
}

/// What a request's body says about a piece.
pub(crate) fn content(request: &HttpRequest) -> Result<Content, Problem> {
    let Body { title, description, url, year } = request.json()?;
    RawContent { title, description, url, year }.check().map_err(|errors| {
        let errors = errors.into_iter().map(|error| FieldError {
            pointer: error.pointer().to_owned(),
            code: error.code(),
            detail: error.to_string(),
        });
        Problem { errors: errors.collect(), ..Problem::new(&INVALID) }
    })
}
