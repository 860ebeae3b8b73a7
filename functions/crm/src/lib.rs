//! The CRM context: what changes here reaches the CRM, and an operator sees and mends what does not.

use rollcall_runtime::Function;

mod change;
pub mod claim_answer;
pub mod crm_drain;
pub mod crm_finding_list;
pub mod crm_inbound;
pub mod crm_opt_out;
pub mod crm_reconcile;
pub mod crm_reconciliation_get;
pub mod crm_reconciliation_start;
pub mod crm_recover;
pub mod crm_schema_apply;
pub mod crm_schema_plan;
pub mod crm_status;
pub mod crm_sync;
pub mod crm_user_get;
pub mod crm_watch;
pub mod crm_webhook;
pub mod dead_letter_discard;
pub mod dead_letter_drain;
pub mod dead_letter_dry_run;
pub mod dead_letter_edit;
pub mod dead_letter_get;
pub mod dead_letter_groups;
pub mod dead_letter_list;
pub mod dead_letter_replay;
pub mod dead_letter_replay_group;
pub mod dead_letter_replay_some;
mod engine;
mod letters;
mod outlook;
mod reconcile_view;
mod report;
pub mod schema_view;
pub mod settings;
mod token;
mod waiting;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &claim_answer::FUNCTION,
    &crm_drain::FUNCTION,
    &crm_finding_list::FUNCTION,
    &crm_inbound::FUNCTION,
    &crm_opt_out::FUNCTION,
    &crm_reconcile::FUNCTION,
    &crm_reconciliation_get::FUNCTION,
    &crm_reconciliation_start::FUNCTION,
    &crm_recover::FUNCTION,
    &crm_schema_apply::FUNCTION,
    &crm_schema_plan::FUNCTION,
    &crm_status::FUNCTION,
    &crm_sync::FUNCTION,
    &crm_user_get::FUNCTION,
    &crm_watch::FUNCTION,
    &crm_webhook::FUNCTION,
    &dead_letter_discard::FUNCTION,
    &dead_letter_drain::FUNCTION,
    &dead_letter_dry_run::FUNCTION,
    &dead_letter_edit::FUNCTION,
    &dead_letter_get::FUNCTION,
    &dead_letter_groups::FUNCTION,
    &dead_letter_list::FUNCTION,
    &dead_letter_replay::FUNCTION,
    &dead_letter_replay_group::FUNCTION,
    &dead_letter_replay_some::FUNCTION,
];
