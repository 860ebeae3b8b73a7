//! Where everything stands on the sheet: A4 across, in points from the upper left corner.

use crate::font::Font;

/// The sheet's width in points.
pub const WIDTH: f32 = 842.0;
/// The sheet's height in points.
pub const HEIGHT: f32 = 595.0;

const MARGIN: f32 = 64.0;
const INK: Color = Color(0x1c, 0x24, 0x30);
const FAINT: Color = Color(0x5a, 0x64, 0x72);
const FRAME: Color = Color(0x1d, 0x5f, 0xc4);
const ALARM: Color = Color(0xb4, 0x23, 0x18);
/// A text is never set smaller; what is still too wide is cut.
const SIZE_MIN: f32 = 9.0;
/// Lines of what it is about.
const SUMMARY_LINES_MAX: usize = 3;
const QR_SIDE: f32 = 116.0;

/// What a certificate says on paper.
#[derive(Clone, Debug)]
pub struct Sheet<'sheet> {
    /// Who vouches for it.
    pub issuer: &'sheet str,
    /// Whose it is, if they want that shown.
    pub holder: Option<&'sheet str>,
    /// `module`, `course` or `pathway`.
    pub kind: &'sheet str,
    /// What that is called.
    pub title: &'sheet str,
    /// What it is about.
    pub summary: &'sheet str,
    /// The day it was earned, `YYYY-MM-DD`.
    pub earned_on: &'sheet str,
    /// The address of its page.
    pub url: &'sheet str,
    /// The address as rows of dark and light modules.
    pub code: &'sheet [Vec<bool>],
    /// Whether it counts no more.
    pub is_revoked: bool,
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Something to draw.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line of text, `y` its baseline.
    Text {
        /// Where it begins.
        x: f32,
        /// Where it stands.
        y: f32,
        /// How large it is.
        size: f32,
        /// Its colour.
        color: Color,
        /// What it says.
        text: String,
    },
    /// A filled rectangle.
    Box {
        /// Its left side.
        x: f32,
        /// Its upper side.
        y: f32,
        /// Its width.
        width: f32,
        /// Its height.
        height: f32,
        /// Its colour.
        color: Color,
    },
}

/// Everything on the sheet, from the back to the front.
pub fn shapes(sheet: &Sheet<'_>, font: &Font) -> Vec<Shape> {
    let mut shapes = frame();
    let mut line = |y: f32, size: f32, color: Color, text: &str| {
        shapes.push(centred(font, (y, size), color, text));
    };
    line(118.0, 15.0, FAINT, sheet.issuer);
    line(164.0, 34.0, INK, "Certificate");
    match sheet.holder {
        Some(holder) => {
            line(208.0, 13.0, FAINT, "awarded to");
            line(248.0, 30.0, INK, holder);
            line(284.0, 13.0, FAINT, &format!("for completing the {}", sheet.kind));
        }
        None => line(248.0, 15.0, FAINT, &format!("for completing the {}", sheet.kind)),
    }
    line(322.0, 25.0, FRAME, sheet.title);
    for (number, text) in (0_u8..).zip(wrapped(font, sheet.summary, 12.0)) {
        line(348.0 + 17.0 * f32::from(number), 12.0, INK, &text);
    }
    let mut note = |y: f32, size: f32, color: Color, text: &str| {
        let (text, size) = fitting(font, text, size, WIDTH - 2.0 * MARGIN - QR_SIDE - 24.0);
        shapes.push(Shape::Text { x: MARGIN, y, size, color, text });
    };
    note(468.0, 14.0, INK, &format!("Earned on {}", sheet.earned_on));
    if sheet.is_revoked {
        note(492.0, 14.0, ALARM, "Revoked: this certificate counts no more.");
    }
    note(516.0, 10.0, FAINT, "Whether it is valid says its page, and to programs its credential:");
    note(532.0, 10.0, INK, sheet.url);
    shapes.extend(code(sheet.code));
    shapes
}

fn frame() -> Vec<Shape> {
    let side = |x, y, width, height, color| Shape::Box { x, y, width, height, color };
    let (width, height) = (WIDTH - 56.0, HEIGHT - 56.0);
    vec![
        side(0.0, 0.0, WIDTH, HEIGHT, Color(255, 255, 255)),
        side(28.0, 28.0, width, 3.0, FRAME),
        side(28.0, HEIGHT - 31.0, width, 3.0, FRAME),
        side(28.0, 28.0, 3.0, height, FRAME),
        side(WIDTH - 31.0, 28.0, 3.0, height, FRAME),
    ]
}

/// The code in the lower right corner. Dark modules of a row that touch are one shape, so that no seam
/// shows between them.
fn code(rows: &[Vec<bool>]) -> Vec<Shape> {
    let modules = f32::from(u16::try_from(rows.len()).unwrap_or(u16::MAX)).max(1.0);
    let module = QR_SIDE / modules;
    let (left, top) = (WIDTH - MARGIN - QR_SIDE, HEIGHT - MARGIN - QR_SIDE);
    let mut shapes = Vec::new();
    for (row, y) in rows.iter().zip(0_u16..) {
        let mut x = 0_u16;
        for run in row.chunk_by(|one, other| one == other) {
            let length = u16::try_from(run.len()).unwrap_or(u16::MAX);
            if run.first() == Some(&true) {
                shapes.push(Shape::Box {
                    x: left + module * f32::from(x),
                    y: top + module * f32::from(y),
                    width: module * f32::from(length),
                    height: module,
                    color: INK,
                });
            }
            x = x.saturating_add(length);
        }
    }
    shapes
}

fn centred(font: &Font, (y, size): (f32, f32), color: Color, text: &str) -> Shape {
    let (text, size) = fitting(font, text, size, WIDTH - 2.0 * MARGIN);
    let x = (WIDTH - font.width(&text, size)) / 2.0;
    Shape::Text { x, y, size, color, text }
}

/// The text, at `size` or as much smaller as it takes to fit, and cut where even that is not enough.
fn fitting(font: &Font, text: &str, size: f32, width_max: f32) -> (String, f32) {
    let width = font.width(text, size);
    if width <= width_max {
        return (text.to_owned(), size);
    }
    let smaller = (size * width_max / width).max(SIZE_MIN);
    (cut(font, text, smaller, width_max), smaller)
}

/// As much of the text as fits, and three dots where something is missing.
fn cut(font: &Font, text: &str, size: f32, width_max: f32) -> String {
    // A hair's breadth more than the widest, for what rounding adds.
    if font.width(text, size) <= width_max + 0.01 {
        return text.to_owned();
    }
    let dots = "…";
    let mut room = width_max - font.width(dots, size);
    let fits = |character: &char| {
        room -= font.width(character.encode_utf8(&mut [0; 4]), size);
        room >= 0.0
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}{dots}", kept.trim_end())
}

/// The text in lines; the last one is cut if there would be more than there is room for.
fn wrapped(font: &Font, text: &str, size: f32) -> Vec<String> {
    let width_max = WIDTH - 4.0 * MARGIN;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_full = lines.len() == SUMMARY_LINES_MAX;
        match lines.last_mut() {
            Some(line) if is_full || font.width(&format!("{line} {word}"), size) <= width_max => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| cut(font, line, size, width_max)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of a code, as some code has them.
    pub(crate) fn rows() -> Vec<Vec<bool>> {
        (0..29).map(|y| (0..29).map(|x| (x * y + x) % 3 == 0).collect()).collect()
    }

    fn inside(shape: &Shape, font: &Font) -> bool {
        match shape {
            Shape::Text { x, y, size, text, .. } => {
                *x >= 0.0 && x + font.width(text, *size) <= WIDTH && y - size >= 0.0 && *y <= HEIGHT
            }
            Shape::Box { x, y, width, height, .. } => {
                *x >= 0.0 && x + width <= WIDTH + 0.01 && *y >= 0.0 && y + height <= HEIGHT + 0.01
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_stands_beside_the_sheet(
            issuer in "\\PC{1,120}",
            holder in prop::option::of("\\PC{1,300}"),
            title in "\\PC{1,200}",
            summary in any::<String>(),
            url in "[a-z/:.]{1,300}",
            is_revoked in any::<bool>(),
        ) {
            let (font, code) = (Font::new().unwrap(), rows());
            let sheet = Sheet {
                issuer: &issuer,
                holder: holder.as_deref(),
                kind: "course",
                title: &title,
                summary: &summary,
                earned_on: "2026-11-21",
                url: &url,
                code: &code,
                is_revoked,
            };
            for shape in shapes(&sheet, &font) {
                prop_assert!(inside(&shape, &font), "{:?}", shape);
            }
        }
    }

    #[test]
    fn a_long_name_is_set_smaller_before_it_is_cut() {
        let font = Font::new().unwrap();
        let (text, size) = fitting(&font, &"Maria ".repeat(12), 30.0, 700.0);
        assert!(!text.ends_with('…') && size < 30.0, "{text} {size}");
        let (text, size) = fitting(&font, &"Maria ".repeat(90), 30.0, 700.0);
        assert!(text.ends_with('…') && size >= SIZE_MIN, "{text} {size}");
    }
}
