//! The catalogue as people write it: a folder of Markdown files with front matter, and quizzes as
//! JSON. `catalog/README.md` describes the format.
//!
//! Reading never stops at the first fault: whoever writes a catalogue is told everything that is
//! wrong with it at once, each with its file and place.

mod folder;
mod front_matter;
mod source;

use std::fmt;

pub use folder::{File, read};
pub use source::parse;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileFault {
    /// The file, from the catalogue's folder.
    pub file: String,
    /// Where in it: `line 3`, or a field such as `modules[1]`; empty for the whole file.
    pub place: String,
    /// What is wrong, and what should be there.
    pub text: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, text } = self;
        if place.is_empty() {
            write!(formatter, "{file}: {text}")
        } else {
            write!(formatter, "{file}: {place}: {text}")
        }
    }
}

impl FileFault {
    fn new(file: &str, place: impl Into<String>, text: &impl ToString) -> Self {
        Self { file: file.to_owned(), place: place.into(), text: text.to_string() }
    }
}
