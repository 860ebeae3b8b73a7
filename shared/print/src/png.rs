//! The sheet as a PNG (ISO/IEC 15948), with its credential in it as Open Badges 3.0 bakes it (§5.3.1).

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use tiny_skia::{FillRule, Paint, PathBuilder, Pixmap, Rect, Transform};
use ttf_parser::OutlineBuilder;

use crate::DrawingError;
use crate::font::Font;
use crate::layout::{Color, Shape, Sheet, shapes};

/// Pixels of a point.
const SCALE: f32 = 2.0;
const PIXELS_WIDE: u32 = 1_684;
const PIXELS_HIGH: u32 = 1_190;
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// The name under which a baked credential is found.
const KEYWORD: &str = "openbadgecredential";

/// The sheet as a PNG with a credential in it.
pub fn draw(sheet: &Sheet<'_>, credential: &str) -> Result<Vec<u8>, DrawingError> {
    let font = Font::new()?;
    let mut pixels = Pixmap::new(PIXELS_WIDE, PIXELS_HIGH).ok_or(DrawingError::Size)?;
    for shape in shapes(sheet, &font) {
        fill(&mut pixels, &font, &shape);
    }
    encode(&pixels, credential)
}

fn fill(pixels: &mut Pixmap, font: &Font, shape: &Shape) {
    let scale = Transform::from_scale(SCALE, SCALE);
    match shape {
        Shape::Box { x, y, width, height, color } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                pixels.fill_rect(rect, &paint(*color), scale, None);
            }
        }
        Shape::Text { x, y, size, color, text } => {
            let unit = size / f32::from(font.face.units_per_em());
            let mut outline = Outline { builder: PathBuilder::new(), x: *x, y: *y, unit };
            for character in text.chars() {
                let glyph = font.glyph(character);
                font.outline(glyph, &mut outline);
                outline.x += font.advance(glyph) * size;
            }
            if let Some(path) = outline.builder.finish() {
                pixels.fill_path(&path, &paint(*color), FillRule::Winding, scale, None);
            }
        }
    }
}

fn paint(Color(red, green, blue): Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

/// Brings outlines from the font's units, which count upwards, to the sheet's points.
struct Outline {
    builder: PathBuilder,
    x: f32,
    y: f32,
    unit: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.unit, self.y - y * self.unit)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

/// The picture as a file: header, credential, pixels, end. The sheet is opaque, so each pixel is red,
/// green and blue.
fn encode(pixels: &Pixmap, credential: &str) -> Result<Vec<u8>, DrawingError> {
    let mut file = SIGNATURE.to_vec();
    let size = [PIXELS_WIDE.to_be_bytes(), PIXELS_HIGH.to_be_bytes()].concat();
    // Eight bits of each colour, compressed and filtered in the only ways there are, not interlaced.
    chunk(&mut file, *b"IHDR", &[size.as_slice(), &[8, 2, 0, 0, 0]].concat());
    // Keyword, not compressed, no language, no other keyword, text.
    let text = [KEYWORD.as_bytes(), &[0; 5], credential.as_bytes()].concat();
    chunk(&mut file, *b"iTXt", &text);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let row_pixels = usize::try_from(PIXELS_WIDE).unwrap_or(usize::MAX);
    for row in pixels.pixels().chunks(row_pixels) {
        // Not filtered.
        let mut bytes = vec![0];
        bytes.extend(row.iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]));
        zlib.write_all(&bytes)?;
    }
    chunk(&mut file, *b"IDAT", &zlib.finish()?);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    file.extend(length.to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::rows;
    use crate::layout::{HEIGHT, WIDTH};

    #[test]
    fn the_pixels_are_as_many_as_the_points_say() {
        assert_eq!((WIDTH * SCALE, HEIGHT * SCALE), (1_684.0, 1_190.0));
    }

    #[test]
    fn a_picture_holds_its_credential() {
        let code = rows();
        let sheet = Sheet {
            issuer: "Guild",
            holder: None,
            kind: "module",
            title: "First steps",
            summary: "",
            earned_on: "2026-11-21",
            url: "https://learn.example/certificates/crt_1",
            code: &code,
            is_revoked: true,
        };
        let file = draw(&sheet, "{\"é\":1}").unwrap();
        assert_eq!(file[..8], SIGNATURE);
        let baked = b"openbadgecredential\0\0\0\0\0{\"\xc3\xa9\":1}";
        assert!(file.windows(baked.len()).any(|part| part == baked));
        assert!(file.ends_with(b"IEND\xae\x42\x60\x82"), "the sum of an empty end");
        assert!(file.len() < 400_000, "{}", file.len());
    }
}
