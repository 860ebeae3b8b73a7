//! The program of `crm-webhook`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_webhook::FUNCTION)
}
