//! The program of `user-restore`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_restore::FUNCTION)
}
