//! The program of `user-export`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_export::FUNCTION)
}
