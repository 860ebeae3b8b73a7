//! The program of `auth-callback`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_callback::FUNCTION)
}
