//! `rollcall crm`: the CRM sync, seen and steered over the admin API.

use std::process::ExitCode;

use clap::Subcommand;

use crate::api::ApiOptions;

mod reconcile;
mod schema;
mod status;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Sends every user of whom the CRM did not acknowledge the present state.
    Backfill(reconcile::Backfill),
    /// Compares all users with the CRM, and repairs what differs.
    Reconcile(reconcile::Reconcile),
    /// Compares the CRM's properties and events with what is declared, and creates what it lacks.
    Schema {
        /// What to do.
        #[command(subcommand)]
        action: schema::Action,
    },
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
        Action::Backfill(order) => reconcile::backfill(order),
        Action::Reconcile(order) => reconcile::reconcile(order),
        Action::Schema { action } => schema::run(action),
        Action::Status { api } => status::run(api),
    }
}
