//! The program of `crm-recover`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_recover::FUNCTION)
}
