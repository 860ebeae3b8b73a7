//! Front matter: TOML between two lines `+++`, then Markdown.

use serde::de::DeserializeOwned;

use crate::FileFault;
use crate::folder::File;

const FENCE: &str = "+++";

/// The front matter and the text behind it.
pub(crate) fn split<T: DeserializeOwned>(file: &File) -> Result<(T, String), FileFault> {
    let missing = |line: &str, text: &str| FileFault::new(&file.path, line, &text);
    let text = file.text.replace("\r\n", "\n");
    let rest = text
        .strip_prefix(FENCE)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or_else(|| missing("line 1", "must open its front matter with a line +++"))?;
    let (matter, body) = match rest.strip_prefix(FENCE) {
        Some(body) => ("", body),
        None => rest
            .split_once("\n+++")
            .ok_or_else(|| missing("", "must end its front matter with a line +++"))?,
    };
    if !(body.is_empty() || body.starts_with('\n')) {
        return Err(missing("", "must end its front matter with a line that is +++ alone"));
    }
    let matter = toml::from_str(matter).map_err(|error| fault(file, matter, &error))?;
    Ok((matter, body.to_owned()))
}

fn fault(file: &File, matter: &str, error: &toml::de::Error) -> FileFault {
    let before = error.span().and_then(|span| matter.get(..span.start));
    // The front matter begins on the second line.
    let line = before.map(|text| text.matches('\n').count() + 2);
    let place = line.map(|line| format!("line {line}")).unwrap_or_default();
    FileFault::new(&file.path, place, &error.message())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Matter {
        title: String,
    }

    fn file(text: &str) -> File {
        File { path: "x.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn front_matter_and_text_are_told_apart() {
        for text in [
            "+++\ntitle = \"a\"\n+++\n\nText\n+++\n",
            "+++\r\ntitle = \"a\"\r\n+++\r\n\r\nText\r\n+++\r\n",
        ] {
            let (matter, body) = split::<Matter>(&file(text)).unwrap();
            assert_eq!((matter.title.as_str(), body.as_str()), ("a", "\n\nText\n+++\n"));
        }
        assert_eq!(split::<Matter>(&file("+++\ntitle = 'a'\n+++")).unwrap().1, "");
    }

    #[test]
    fn a_fault_is_named_with_its_line() {
        for (text, place) in [
            ("title = 1", "line 1"),
            ("+++\ntitle = \"a\"\n", ""),
            ("+++\ntitle = \"a\"\n++++\n", ""),
            ("+++\ntitle = \"a\"\nmore = 1\n+++\n", "line 3"),
            ("+++\ntitle = 1\n+++\n", "line 2"),
            ("+++\n\ntitle = [\n+++\n", "line 3"),
        ] {
            let fault = split::<Matter>(&file(text)).unwrap_err();
            assert_eq!((fault.file.as_str(), fault.place.as_str()), ("x.md", place), "{fault}");
        }
    }
}
