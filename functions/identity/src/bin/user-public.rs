//! The program of `user-public`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_public::FUNCTION)
}
