//! The program of `crm-sync`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_sync::FUNCTION)
}
