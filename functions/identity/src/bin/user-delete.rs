//! The program of `user-delete`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_delete::FUNCTION)
}
