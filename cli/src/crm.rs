//! `rollcall crm`: the CRM sync, seen and steered over the admin API.

use std::process::ExitCode;

use clap::Subcommand;

use crate::api::ApiOptions;

mod status;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows where the sync stands.
    Status {
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
}

/// Runs one of the commands.
pub fn run(action: Action) -> ExitCode {
    match action {
        Action::Status { api } => status::run(api),
    }
}
