//! The program of `auth-csrf`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_csrf::FUNCTION)
}
