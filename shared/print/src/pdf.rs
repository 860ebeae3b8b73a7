//! The sheet as a PDF (ISO 32000), with the font in it, so that its words can be searched and copied.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::DrawingError;
use crate::font::{FILE, Font};
use crate::layout::{Color, HEIGHT, Shape, Sheet, WIDTH, shapes};

const FONT: Name<'static> = Name(b"F1");
const FONT_NAME: Name<'static> = Name(b"NotoSerif-Regular");
const SYSTEM: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

/// The objects of the file, by number.
#[derive(Clone, Copy)]
enum Object {
    Catalog = 1,
    Pages,
    Page,
    Content,
    Type0,
    CidFont,
    Descriptor,
    File,
    ToUnicode,
    Info,
}

impl Object {
    fn id(self) -> Ref {
        Ref::new(self as i32)
    }
}

/// The sheet as a PDF.
pub fn draw(sheet: &Sheet<'_>) -> Result<Vec<u8>, DrawingError> {
    let font = Font::new()?;
    let mut used = BTreeMap::new();
    let content = compressed(&content(&shapes(sheet, &font), &font, &mut used))?;
    let mut pdf = Pdf::new();
    pdf.catalog(Object::Catalog.id()).pages(Object::Pages.id()).lang(TextStr("en"));
    pdf.pages(Object::Pages.id()).kids([Object::Page.id()]).count(1);
    let mut page = pdf.page(Object::Page.id());
    page.parent(Object::Pages.id()).media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT));
    page.contents(Object::Content.id());
    page.resources().fonts().pair(FONT, Object::Type0.id());
    page.finish();
    pdf.stream(Object::Content.id(), &content).filter(Filter::FlateDecode);
    write_font(&mut pdf, &font, &used)?;
    let title = format!("Certificate: {}", sheet.title);
    pdf.document_info(Object::Info.id()).title(TextStr(&title)).author(TextStr(sheet.issuer));
    Ok(pdf.finish())
}

/// What is drawn; `used` learns which glyph stands for which character.
fn content(shapes: &[Shape], font: &Font, used: &mut BTreeMap<u16, char>) -> Vec<u8> {
    let mut content = Content::new();
    let part = |value: u8| f32::from(value) / 255.0;
    for shape in shapes {
        match shape {
            Shape::Box { x, y, width, height, color: Color(red, green, blue) } => {
                content.set_fill_rgb(part(*red), part(*green), part(*blue));
                content.rect(*x, HEIGHT - y - height, *width, *height).fill_nonzero();
            }
            Shape::Text { x, y, size, color: Color(red, green, blue), text } => {
                let mut glyphs = Vec::with_capacity(text.len() * 2);
                for character in text.chars() {
                    let glyph = font.glyph(character).0;
                    used.entry(glyph).or_insert(character);
                    glyphs.extend(glyph.to_be_bytes());
                }
                content.set_fill_rgb(part(*red), part(*green), part(*blue));
                content.begin_text().set_font(FONT, *size);
                content.next_line(*x, HEIGHT - y).show(Str(&glyphs));
                content.end_text();
            }
        }
    }
    content.finish().to_vec()
}

fn write_font(pdf: &mut Pdf, font: &Font, used: &BTreeMap<u16, char>) -> Result<(), DrawingError> {
    let units = 1_000.0 / f32::from(font.face.units_per_em());
    let scaled = |value: i16| f32::from(value) * units;
    let mut type0 = pdf.type0_font(Object::Type0.id());
    type0.base_font(FONT_NAME).encoding_predefined(Name(b"Identity-H"));
    type0.descendant_font(Object::CidFont.id()).to_unicode(Object::ToUnicode.id());
    type0.finish();
    let mut cid = pdf.cid_font(Object::CidFont.id());
    cid.subtype(CidFontType::Type2).base_font(FONT_NAME).system_info(SYSTEM);
    cid.font_descriptor(Object::Descriptor.id()).default_width(0.0);
    cid.cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = cid.widths();
    for glyph in used.keys() {
        widths.consecutive(*glyph, [font.advance(ttf_parser::GlyphId(*glyph)) * 1_000.0]);
    }
    widths.finish();
    cid.finish();
    let bounds = font.face.global_bounding_box();
    let mut descriptor = pdf.font_descriptor(Object::Descriptor.id());
    descriptor.name(FONT_NAME).flags(FontFlags::SYMBOLIC | FontFlags::SERIF);
    descriptor.bbox(Rect::new(
        scaled(bounds.x_min),
        scaled(bounds.y_min),
        scaled(bounds.x_max),
        scaled(bounds.y_max),
    ));
    descriptor.italic_angle(0.0).stem_v(80.0);
    descriptor.ascent(scaled(font.face.ascender())).descent(scaled(font.face.descender()));
    descriptor.cap_height(scaled(font.face.capital_height().unwrap_or_default()));
    descriptor.font_file2(Object::File.id());
    descriptor.finish();
    let file = compressed(FILE)?;
    let length = i32::try_from(FILE.len()).unwrap_or(i32::MAX);
    pdf.stream(Object::File.id(), &file).filter(Filter::FlateDecode).pair(Name(b"Length1"), length);
    let mut unicode: UnicodeCmap<u16> = UnicodeCmap::new(Name(b"Custom"), SYSTEM);
    for (glyph, character) in used {
        unicode.pair(*glyph, *character);
    }
    pdf.cmap(Object::ToUnicode.id(), &unicode.finish());
    Ok(())
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>, DrawingError> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(bytes)?;
    Ok(zlib.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tests::rows;

    #[test]
    fn a_pdf_holds_its_title_and_its_font() {
        let code = rows();
        let sheet = Sheet {
            issuer: "Guild",
            holder: Some("Łucja Ķ"),
            kind: "course",
            title: "First steps",
            summary: "What it is about.",
            earned_on: "2026-11-21",
            url: "https://learn.example/certificates/crt_1",
            code: &code,
            is_revoked: false,
        };
        let pdf = draw(&sheet).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.starts_with("%PDF-1.") && text.trim_end().ends_with("%%EOF"));
        assert!(text.contains("(Certificate: First steps)") && text.contains("/FontFile2"));
        assert_eq!(pdf, draw(&sheet).unwrap(), "the same sheet is the same file");
    }
}
