//! The program of `crm-reconcile`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_reconcile::FUNCTION)
}
