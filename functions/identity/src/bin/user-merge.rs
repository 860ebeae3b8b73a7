//! The program of `user-merge`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_merge::FUNCTION)
}
