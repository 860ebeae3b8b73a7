//! The program of `auth-signup`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_signup::FUNCTION)
}
