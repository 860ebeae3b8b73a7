//! The program of `crm-inbound`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_inbound::FUNCTION)
}
