//! The program of `auth-session-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_session_list::FUNCTION)
}
