//! The program of `crm-reconciliation-start`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_reconciliation_start::FUNCTION)
}
