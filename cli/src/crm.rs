//! `rollcall crm`: the CRM sync, seen and steered over the admin API.

use std::process::ExitCode;

use clap::Subcommand;

use crate::api::ApiOptions;

mod dead_letters;
mod reconcile;
mod schema;
mod status;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Sends every user of whom the CRM did not acknowledge the present state.
    Backfill(reconcile::Backfill),
    /// Shows what needs a person, and does something about it.
    DeadLetters {
        /// What to do.
        #[command(subcommand)]
        action: dead_letters::Action,
    },
    /// Compares all users with the CRM, and repairs what differs.
    Reconcile(reconcile::Reconcile),
    /// Shows where one user stands, and what would be sent about them now.
    User {
        /// The user's id.
        id: String,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
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
        Action::DeadLetters { action } => dead_letters::run(action),
        Action::User { id, api } => dead_letters::run_user(&id, api),
        Action::Status { api } => status::run(api),
    }
}
