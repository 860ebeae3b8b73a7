//! The program of `crm-watch`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_watch::FUNCTION)
}
