//! The program of `crm-user-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_user_get::FUNCTION)
}
