//! The program of `admin-user-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::admin_user_get::FUNCTION)
}
