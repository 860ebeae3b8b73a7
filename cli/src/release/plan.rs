//! Plans: which calls of which tools, in which order.

use std::process::Command;

use rollcall_resources::Table;

use crate::catalogue;

/// The alias that everything calls (`cdk/lib/names.ts`).
const LIVE: &str = "live";

/// Steps, and what is done when one of those that say so fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) when_failed: Option<Vec<Step>>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: String,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// Whether people have already got the new programs when it fails.
    pub(super) undone_when_failed: bool,
}

impl Step {
    fn new(what: impl Into<String>, command: &[&str]) -> Self {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        Self { what: what.into(), command, undone_when_failed: false }
    }

    /// The call as one would type it.
    pub(super) fn shown(&self) -> String {
        let quoted = |part: &String| {
            let is_plain = part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=,@".contains(&byte));
            if is_plain && !part.is_empty() {
                part.clone()
            } else {
                format!("'{}'", part.replace('\'', "'\\''"))
            }
        };
        self.command.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Makes the call; its output goes to the terminal.
    ///
    /// # Errors
    ///
    /// When there is no such program, or it fails.
    pub(super) fn run(&self) -> Result<(), String> {
        let (program, arguments) = self.command.split_first().ok_or("a step without a call")?;
        match Command::new(program).args(arguments).status() {
            Err(error) => Err(format!("{program} cannot be called: {error}")),
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{}: {program} ended with {status}", self.what)),
        }
    }
}

/// A shell's call, for what takes more than one program.
fn shell(what: impl Into<String>, script: &str, arguments: &[&str]) -> Step {
    let fixed = ["sh", "-euc", script, "rollcall"];
    Step::new(what, &[&fixed[..], arguments].concat())
}

pub(super) fn deploy(stage: &str, url: &str) -> Plan {
    let mut verify = Step::new(
        "look whether all is well",
        &[
            "cargo", "run", "--quiet", "--bin", "rollcall", "--", "verify", "--stage", stage,
            "--url", url,
        ],
    );
    verify.undone_when_failed = true;
    let functions: Vec<&str> =
        catalogue::functions().iter().map(|function| function.name).collect();
    Plan {
        steps: vec![
            Step::new(
                "look whether the tree is ready",
                &["cargo", "run", "--quiet", "--bin", "rollcall", "--", "doctor", "--stage", stage],
            ),
            Step::new("build the programs", &["make", "build"]),
            Step::new(
                "deploy, unless it would replace what holds data",
                &["scripts/deploy-stage.sh", stage],
            ),
            verify,
        ],
        when_failed: Some(rollback(stage, &functions, "previous").steps),
    }
}

pub(super) fn rollback(stage: &str, functions: &[&str], to: &str) -> Plan {
    // The newest version before the current one. A function that has none, since it is new, stays.
    let previous = "now=$(aws lambda get-alias --function-name \"$1\" --name \"$2\" --query FunctionVersion --output text); \
                    to=$(aws lambda list-versions-by-function --function-name \"$1\" --query 'Versions[].Version' --output text \
                    | tr '\\t' '\\n' | grep -E '^[0-9]+$' | sort -n | awk -v now=\"$now\" '$1 < now' | tail -n 1); \
                    [ -n \"$to\" ] || { echo \"$1 has no version before $now\"; exit 0; }; \
                    aws lambda update-alias --function-name \"$1\" --name \"$2\" --function-version \"$to\" --routing-config '{}' --query FunctionVersion";
    let steps = functions.iter().map(|function| {
        let full = format!("rollcall-{stage}-{function}");
        if to == "previous" {
            return shell(format!("{function} goes back"), previous, &[&full, LIVE]);
        }
        Step::new(
            format!("{function} goes back to {to}"),
            &[
                "aws",
                "lambda",
                "update-alias",
                "--function-name",
                &full,
                "--name",
                LIVE,
                "--function-version",
                to,
                "--routing-config",
                "{}",
            ],
        )
    });
    Plan { steps: steps.collect(), when_failed: None }
}

/// The name of a table that there is not, otherwise.
pub(super) fn restore(stage: &str, at: &str, chosen: &[String]) -> Result<Plan, String> {
    let known: Vec<&str> = Table::ALL.into_iter().map(Table::name).collect();
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(unknown.clone());
    }
    // The ledger says what the CRM has now, which no restoring of ours changes.
    let all = known.into_iter().filter(|name| *name != Table::Crm.name());
    let tables: Vec<&str> =
        if chosen.is_empty() { all.collect() } else { chosen.iter().map(String::as_str).collect() };
    let stamp: String = at.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    let steps = tables.iter().map(|table| {
        let (from, to) =
            (format!("rollcall-{stage}-{table}"), format!("rollcall-{stage}-{table}-{stamp}"));
        Step::new(
            format!("{table} as it was at {at}"),
            &[
                "aws",
                "dynamodb",
                "restore-table-to-point-in-time",
                "--source-table-name",
                &from,
                "--target-table-name",
                &to,
                "--restore-date-time",
                at,
                "--query",
                "TableDescription.TableArn",
            ],
        )
    });
    Ok(Plan { steps: steps.collect(), when_failed: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(Step::shown).collect()
    }

    #[test]
    fn what_holds_data_is_compared_before_anything_is_deployed_and_a_bad_release_goes_back() {
        let plan = deploy("staging", "https://staging.rollcall.example");
        let calls = shown(&plan);
        let place = |text: &str| calls.iter().position(|call| call.contains(text)).unwrap();
        assert!(place("doctor") < place("make build"));
        assert!(place("make build") < place("deploy-stage.sh staging"));
        assert!(place("deploy-stage.sh") < place("verify"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/deploy-stage.sh");
        let script = std::fs::read_to_string(script).unwrap();
        assert!(script.find("refuse-replacement") < script.find("run --silent deploy"));
        let undone: Vec<bool> = plan.steps.iter().map(|step| step.undone_when_failed).collect();
        assert_eq!(undone.iter().filter(|undone| **undone).count(), 1);
        assert_eq!(undone.last(), Some(&true), "only once people have got it");
        assert_eq!(plan.when_failed.unwrap().len(), catalogue::functions().len());
    }

    #[test]
    fn going_back_moves_the_alias_and_nothing_else() {
        let [all] = rollback("prod", &["enroll"], "previous").steps.try_into().unwrap();
        assert!(all.shown().contains("rollcall-prod-enroll live"), "{}", all.shown());
        let plan = rollback("prod", &["enroll"], "7");
        assert_eq!(
            shown(&plan),
            [
                "aws lambda update-alias --function-name rollcall-prod-enroll --name live --function-version 7 --routing-config '{}'"
            ]
        );
    }

    #[test]
    fn restoring_makes_other_tables_and_leaves_the_ledger_alone() {
        let plan = restore("prod", "2026-11-21T09:00:00Z", &[]).unwrap();
        assert_eq!(plan.steps.len(), Table::ALL.len() - 1);
        let calls = shown(&plan).join("\n");
        assert!(
            calls.contains("--target-table-name rollcall-prod-users-20261121090000"),
            "{calls}"
        );
        assert!(!calls.contains("rollcall-prod-crm "), "{calls}");
        assert_eq!(restore("prod", "x", &["nothing".to_owned()]), Err("nothing".to_owned()));
        assert_eq!(restore("prod", "x", &["crm".to_owned()]).unwrap().steps.len(), 1);
    }

    #[test]
    fn a_call_is_shown_as_it_can_be_typed() {
        let step = Step::new("x", &["sh", "-c", "echo 'a b'", ""]);
        assert_eq!(step.shown(), "sh -c 'echo '\\''a b'\\''' ''");
        assert_eq!(Step::new("x", &["true"]).run(), Ok(()));
        assert!(Step::new("x", &["false"]).run().is_err());
        assert!(Step::new("x", &["no-such-program-of-anybody"]).run().is_err());
    }
}
