//! The program of `crm-status`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_status::FUNCTION)
}
