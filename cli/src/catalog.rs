//! `rollcall catalog`: a catalogue's way from a folder of files to what the API shows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rollcall_aws::Connection;
use rollcall_content::FileFault;
use rollcall_domain::catalog::{Difference, Edition};
use rollcall_domain::time::Clock;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::system::SystemClock;
use rollcall_store::catalog::{CatalogPublisher, Publication, version_of};
use rollcall_store::{Capability, PortError, Tables};

use crate::{complain, sample, say};

/// What to do with a catalogue.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Says everything that is wrong with a catalogue, and fails if anything is.
    Check {
        /// The catalogue's folder.
        #[arg(default_value = "catalog")]
        folder: PathBuf,
    },
    /// Lists what publishing would change.
    Diff(Target),
    /// Makes a catalogue the one that the API shows; the same one again changes nothing.
    Publish(Target),
}

/// Which catalogue, and where it is published.
#[derive(Debug, Args)]
pub struct Target {
    /// The catalogue's folder.
    #[arg(default_value = "catalog")]
    folder: PathBuf,
    /// The stage, in the AWS account that the environment names.
    #[arg(long, default_value = "dev")]
    stage: String,
    /// The first port of a local cloud on this machine, in place of AWS.
    #[arg(long, value_name = "PORT", conflicts_with = "stage")]
    local: Option<u16>,
}

/// Why a catalogue was not handled.
#[derive(Debug, thiserror::Error)]
enum CatalogCommandError {
    #[error("{} in {}", count(.0.len(), "fault"), .1.display())]
    Faults(Vec<FileFault>, PathBuf),
    #[error("the environment is wrong: {}", .0.join("; "))]
    Environment(Vec<String>),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("the system does not let this program start")]
    System(#[source] std::io::Error),
}

/// Runs one of the commands.
pub fn run(action: &Action) -> ExitCode {
    let result = match action {
        Action::Check { folder } => check(folder),
        Action::Diff(target) => block_on(diff(target)),
        Action::Publish(target) => block_on(publish(target)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let CatalogCommandError::Faults(faults, _) = &error {
                for fault in faults {
                    say(&fault.to_string());
                }
            }
            complain(&chain(&error))
        }
    }
}

fn block_on(
    work: impl Future<Output = Result<(), CatalogCommandError>>,
) -> Result<(), CatalogCommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(CatalogCommandError::System)?.block_on(work)
}

fn check(folder: &Path) -> Result<(), CatalogCommandError> {
    let edition = read(folder)?;
    let catalog = &edition.catalog;
    say(&format!(
        "{}: {}, {}, {}, {}",
        version_of(&edition)?,
        count(catalog.pathways().count(), "pathway"),
        count(catalog.courses().count(), "course"),
        count(catalog.modules().count(), "module"),
        match edition.quizzes.len() {
            1 => "1 quiz".to_owned(),
            number => format!("{number} quizzes"),
        },
    ));
    Ok(())
}

async fn diff(target: &Target) -> Result<(), CatalogCommandError> {
    let edition = read(&target.folder)?;
    let published = publisher(target)?.current().await?;
    let differences = edition.differences(&published);
    for (entry, difference) in &differences {
        let sign = match difference {
            Difference::Added => "+",
            Difference::Removed => "-",
            Difference::Changed => "~",
        };
        say(&format!("{sign} {entry}"));
    }
    if differences.is_empty() {
        say("nothing would change");
    }
    Ok(())
}

async fn publish(target: &Target) -> Result<(), CatalogCommandError> {
    let edition = read(&target.folder)?;
    match publisher(target)?.publish(&edition, SystemClock.now()).await? {
        Publication::Published(version) => say(&format!("{version} is the catalogue now")),
        Publication::Unchanged(version) => say(&format!("{version} was the catalogue already")),
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Edition, CatalogCommandError> {
    let files = rollcall_content::read(folder);
    let edition = files.and_then(|files| rollcall_content::parse(&files));
    edition.map_err(|faults| CatalogCommandError::Faults(faults, folder.to_owned()))
}

fn publisher(target: &Target) -> Result<CatalogPublisher, CatalogCommandError> {
    let connection = if let Some(port) = target.local {
        sample::operator(&sample::addresses(port))
    } else {
        let environment = rollcall_runtime::aws_environment();
        Connection::new(environment.map_err(CatalogCommandError::Environment)?)
    };
    Ok(CatalogPublisher::new(&Tables::new(&connection, &target.stage)))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
