//! The program of `auth-refresh`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_refresh::FUNCTION)
}
