//! What a function's answer to a batch means.

use serde_json::Value;

use crate::function::Outcome;

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// The items with these identifiers failed; never empty.
    Partly(Vec<String>),
    Failed,
}

/// Judges an outcome as AWS does: an answer that cannot be understood, and one that names an item
/// by nothing or by a name that is not among `identifiers`, fails the whole batch.
pub(super) fn judge(outcome: &Outcome, reports_items: bool, identifiers: &[&str]) -> Verdict {
    let Outcome::Response(answer) = outcome else {
        return Verdict::Failed;
    };
    if !reports_items {
        return Verdict::Done;
    }
    match failed_items(answer) {
        Some(failed) if failed.is_empty() => Verdict::Done,
        Some(failed) if failed.iter().all(|id| identifiers.contains(&id.as_str())) => {
            Verdict::Partly(failed)
        }
        _ => Verdict::Failed,
    }
}

fn failed_items(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let failures = match &answer {
        Value::Null => return Some(Vec::new()),
        Value::Object(fields) => fields.get("batchItemFailures"),
        _ => return None,
    };
    match failures {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.get("itemIdentifier")?.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &'static str, expected: &Verdict) {
        let outcome = Outcome::Response(answer.into());
        assert_eq!(judge(&outcome, true, &["1", "2"]), *expected, "{answer}");
        assert_eq!(judge(&outcome, false, &["1", "2"]), Verdict::Done);
    }

    #[test]
    fn answers_mean_what_aws_documents() {
        for done in ["null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#] {
            check(done, &Verdict::Done);
        }
        for failed in [
            "",
            "[]",
            r#""ok""#,
            r#"{"batchItemFailures":"1"}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"item":"1"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":"3"}]}"#,
        ] {
            check(failed, &Verdict::Failed);
        }
        check(
            r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#,
            &Verdict::Partly(vec!["2".to_owned()]),
        );
    }

    #[test]
    fn a_function_error_fails_the_batch_however_it_reports() {
        let outcome = Outcome::FunctionError {
            error_type: "Runtime.ExitError".to_owned(),
            message: String::new(),
        };
        for reports_items in [true, false] {
            assert_eq!(judge(&outcome, reports_items, &["1"]), Verdict::Failed);
        }
    }
}
