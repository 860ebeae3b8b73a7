//! The program of `user-update`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_update::FUNCTION)
}
