//! The program of `user-search`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_search::FUNCTION)
}
