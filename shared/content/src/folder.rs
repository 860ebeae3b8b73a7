//! The folder: which files belong to a catalogue.

use std::fs;
use std::io;
use std::path::Path;

use crate::FileFault;

/// Files of a catalogue at most.
const FILES_MAX: usize = 5_000;
/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 1_000_000;
/// Folders within folders at most.
const DEPTH_MAX: usize = 4;

/// A file of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path from the catalogue's folder, with `/` between the parts.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// Every file in the folder, by path. Files whose names begin with a dot and the folder's own
/// `README.md` are no part of the catalogue.
pub fn read(folder: &Path) -> Result<Vec<File>, Vec<FileFault>> {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    collect(folder, "", DEPTH_MAX, &mut files, &mut faults);
    files.sort_by(|one: &File, other| one.path.cmp(&other.path));
    if files.len() > FILES_MAX {
        faults.push(FileFault::new("", "", &format!("holds more than {FILES_MAX} files")));
    }
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<File>,
    faults: &mut Vec<FileFault>,
) {
    let shown = if prefix.is_empty() { folder.display().to_string() } else { prefix.to_owned() };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return faults.push(FileFault::new(&shown, "", &error)),
    };
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if name.starts_with('.') || path == "README.md" || files.len() > FILES_MAX {
            continue;
        }
        match load(&entry.path()) {
            Ok(Some(text)) => files.push(File { path, text }),
            Ok(None) if depth > 0 => {
                collect(&entry.path(), &format!("{path}/"), depth - 1, files, faults);
            }
            Ok(None) => faults.push(FileFault::new(&path, "", &"is too many folders deep")),
            Err(error) => faults.push(FileFault::new(&path, "", &error)),
        }
    }
}

/// A file's text; `None` for a folder.
fn load(path: &Path) -> io::Result<Option<String>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("must be at most {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path).map(Some)
}
