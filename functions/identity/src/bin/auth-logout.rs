//! The program of `auth-logout`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_logout::FUNCTION)
}
