//! How far a long command is, for the person who waits. It is drawn on standard error, and only where
//! that is a terminal, so that output for programs stays as it is.

use indicatif::{ProgressBar, ProgressStyle};

/// Parts of a bar: what is done, how far, and how long it still takes.
const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len} {eta}";

/// As [`TEMPLATE`], where nobody knows how many there are.
const COUNT_TEMPLATE: &str = "{spinner} {human_pos} {msg} {elapsed}";

/// A count of things that are `what`, of which nobody knows how many there are.
pub fn count(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(COUNT_TEMPLATE);
    ProgressBar::new_spinner()
        .with_message(what)
        .with_style(style.unwrap_or_else(|_wrong| ProgressStyle::default_spinner()))
}

/// A bar of `total` things that are `what`, such as "replayed".
pub fn bar(total: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE);
    ProgressBar::new(total)
        .with_message(what)
        .with_style(style.unwrap_or_else(|_wrong| ProgressStyle::default_bar()))
}
