//! The program of `user-disconnect`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_disconnect::FUNCTION)
}
