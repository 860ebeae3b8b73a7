//! The program of `auth-login`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_login::FUNCTION)
}
