//! `rollcall grants`: are the declared permissions no more than what the tests were seen to need?
//!
//! Every local cloud of the tests writes what its functions used. A permission that no test used is
//! either unneeded or untested; both are faults.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use rollcall_local::cloud::{ACCOUNT, REGION, STAGE};
use rollcall_local::kit::iam::Use;

use crate::catalogue;
use crate::{complain, say};

/// Compares the declarations with the uses that the files of `folder` hold.
pub fn run(folder: &Path) -> ExitCode {
    let used = match read(folder) {
        Ok(used) => used,
        Err(error) => {
            return complain(&format!(
                "{} cannot be read: {error}; run the tests first",
                folder.display()
            ));
        }
    };
    let idle = idle(&used);
    for grant in &idle {
        say(&format!("unused: {} {} {}", grant.function, grant.action, grant.resource));
    }
    if idle.is_empty() { ExitCode::SUCCESS } else { complain("some permissions were not used") }
}

fn read(folder: &Path) -> std::io::Result<Vec<Use>> {
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read(entry?.path())?;
        let more: BTreeSet<Use> = serde_json::from_slice(&text)?;
        used.extend(more);
    }
    Ok(used.into_iter().collect())
}

fn idle(used: &[Use]) -> Vec<Use> {
    let mut idle = Vec::new();
    for function in catalogue::functions() {
        for (resource, actions) in function.code_grants() {
            let arn = resource.arn(STAGE, REGION, ACCOUNT);
            for action in actions {
                let grant = Use {
                    function: function.name.to_owned(),
                    action: action.to_owned(),
                    resource: arn.clone(),
                };
                if !used.iter().any(|used| is_use_of(used, &grant)) {
                    idle.push(grant);
                }
            }
        }
    }
    idle
}

fn is_use_of(used: &Use, grant: &Use) -> bool {
    let resource = match grant.resource.strip_suffix('*') {
        Some(prefix) => used.resource.starts_with(prefix),
        None => used.resource == grant.resource,
    };
    resource && used.function == grant.function && used.action == grant.action
}
