//! The program of `auth-logout-page`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_logout_page::FUNCTION)
}
