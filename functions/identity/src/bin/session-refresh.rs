//! The program of `session-refresh`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::session_refresh::FUNCTION)
}
