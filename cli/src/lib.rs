//! The `rollcall` program: the operator's and the developer's one tool.
//!
//! It links every function, so the local cloud can start each of them as a process of this program,
//! and the generated files can be made from the declarations.

pub mod api;
pub mod catalog;
pub mod catalogue;
pub mod crm;
pub mod dev;
pub mod doctor;
pub mod flags;
pub mod generate;
pub mod grants;
pub mod import;
pub mod migrate;
pub mod person;
pub mod progress;
pub mod release;
pub mod route_groups;
pub mod sample;
pub mod users;
pub mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The backend of a membership organisation.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole product on this machine.
    Dev {
        /// The first of the ports: API, then identity provider, HubSpot, DynamoDB, SQS.
        #[arg(long, env = "PORT", default_value_t = 9000)]
        port: u16,
        /// Forgets the data of earlier runs.
        #[arg(long)]
        reset: bool,
        /// Where data survive a restart.
        #[arg(long, default_value = ".rollcall")]
        folder: PathBuf,
    },
    /// Writes the files that are made from the functions' declarations.
    Generate {
        /// Only says which files would change, and fails if any would.
        #[arg(long)]
        check: bool,
    },
    /// Lists declared permissions that a run of the tests has not used, and fails if there are any.
    Grants {
        /// Where the tests wrote what they used.
        #[arg(long, default_value = "target/grants-used")]
        folder: PathBuf,
    },
    /// Checks, compares or publishes a catalogue of courses.
    Catalog {
        /// What to do with it.
        #[command(subcommand)]
        action: Box<catalog::Action>,
    },
    /// Shows and steers the CRM sync.
    Crm {
        /// What to do.
        #[command(subcommand)]
        action: Box<crm::Action>,
    },
    /// Says whether this tree and this machine are ready to run, check and deploy.
    Doctor(doctor::Options),
    /// Looks at a running Rollcall from outside, and fails when anything is not as it must be.
    Verify(Box<verify::Options>),
    /// Builds, compares, deploys, verifies, and goes back by itself.
    Deploy(release::DeployOptions),
    /// Moves calls back to the programs of before; data stay as they are.
    Rollback(release::RollbackOptions),
    /// Makes tables as they were at a moment, under other names.
    Restore(release::RestoreOptions),
    /// Tells what a stage costs a month, by public prices.
    Cost(release::CostOptions),
    /// Looks people up, and changes what administrators decide about them.
    Users {
        /// What to do.
        #[command(subcommand)]
        action: Box<users::Action>,
    },
    /// Hands out everything that is kept of a person who asked for it.
    Export(Box<person::Export>),
    /// Has a person erased who asked for it.
    Erase(Box<person::Erase>),
    /// Copies people and what they learned from one stage to another.
    Migrate(Box<migrate::Options>),
    /// Shows and sets for whom features are open.
    Flags {
        /// What to do.
        #[command(subcommand)]
        action: Box<flags::Action>,
    },
    /// Closes groups of routes: they answer 503 until they are opened again.
    Close(Box<route_groups::Groups>),
    /// Opens groups of routes that were closed.
    Open(Box<route_groups::Groups>),
    /// Brings over what people learned elsewhere.
    Progress {
        /// What to do.
        #[command(subcommand)]
        action: Box<import::Action>,
    },
    /// Lists the functions' names, one per line.
    Functions,
    /// Runs one function, as the local cloud does.
    #[command(hide = true)]
    Function {
        /// The function's name.
        name: String,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Dev { port, reset, folder } => dev::run(port, reset, &folder),
        Command::Generate { check } => generate::run(check),
        Command::Grants { folder } => grants::run(&folder),
        Command::Catalog { action } => catalog::run(*action),
        Command::Progress { action } => import::run(*action),
        Command::Crm { action } => crm::run(*action),
        Command::Doctor(options) => doctor::run(&options),
        Command::Verify(options) => verify::run(*options),
        Command::Deploy(options) => release::deploy(&options),
        Command::Rollback(options) => release::rollback(&options),
        Command::Restore(options) => release::restore(&options),
        Command::Cost(options) => release::cost(&options),
        Command::Users { action } => users::run(*action),
        Command::Export(order) => person::export(*order),
        Command::Erase(order) => person::erase(*order),
        Command::Migrate(options) => migrate::run(&options),
        Command::Flags { action } => flags::run(*action),
        Command::Close(groups) => route_groups::run(*groups, false),
        Command::Open(groups) => route_groups::run(*groups, true),
        Command::Functions => {
            let names: Vec<&str> = catalogue::functions().iter().map(|f| f.name).collect();
            say(&names.join("\n"));
            ExitCode::SUCCESS
        }
        Command::Function { name } => {
            match catalogue::functions().into_iter().find(|function| function.name == name) {
                Some(function) => rollcall_runtime::run(function),
                None => complain(&format!("there is no function {name}")),
            }
        }
    }
}

/// Writes a line for the person at the keyboard.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    // A reader that has gone away is no reason to stop.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Says what went wrong, and ends in failure.
pub(crate) fn complain(text: &str) -> ExitCode {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "rollcall: {text}"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of a runbook as the shell would split it, as far as runbooks need it.
    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    #[test]
    fn every_command_in_the_runbooks_exists() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks");
        let mut commands = 0;
        for page in std::fs::read_dir(folder).unwrap() {
            let path = page.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().map(str::trim).filter(|line| line.starts_with("rollcall ")) {
                // The token comes from the environment.
                let token = line.contains("--url").then_some("--token=x".to_owned());
                let parsed = Arguments::try_parse_from(words(line).into_iter().chain(token));
                assert!(parsed.is_ok(), "{}: {line}: {parsed:?}", path.display());
                commands += 1;
            }
        }
        assert!(commands > 20, "{commands}");
    }
}
