//! The program of `user-connect`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_connect::FUNCTION)
}
