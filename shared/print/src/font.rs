//! The font.

use ttf_parser::{Face, GlyphId, OutlineBuilder};

use crate::DrawingError;

/// The font's file.
pub(crate) static FILE: &[u8] = include_bytes!("../font/NotoSerif-Regular.ttf");

/// The font, ready to be measured and drawn.
pub struct Font {
    pub(crate) face: Face<'static>,
}

impl Font {
    /// The one font that there is.
    pub fn new() -> Result<Self, DrawingError> {
        let face = Face::parse(FILE, 0).map_err(|_malformed| DrawingError::Font)?;
        Ok(Self { face })
    }

    /// The glyph of a character; the empty box when there is none.
    pub(crate) fn glyph(&self, character: char) -> GlyphId {
        self.face.glyph_index(character).unwrap_or(GlyphId(0))
    }

    /// How far a glyph goes, as a part of the font's size.
    pub(crate) fn advance(&self, glyph: GlyphId) -> f32 {
        let units = f32::from(self.face.units_per_em());
        f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) / units
    }

    /// How wide a text is at a size.
    pub fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|character| self.advance(self.glyph(character)) * size).sum()
    }

    /// Draws a glyph's outline, in the font's units.
    pub(crate) fn outline(&self, glyph: GlyphId, builder: &mut dyn OutlineBuilder) {
        self.face.outline_glyph(glyph, builder);
    }
}
