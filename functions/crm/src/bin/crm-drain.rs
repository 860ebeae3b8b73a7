//! The program of `crm-drain`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_drain::FUNCTION)
}
