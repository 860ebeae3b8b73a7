//! The program of `user-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_get::FUNCTION)
}
