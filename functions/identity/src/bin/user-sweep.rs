//! The program of `user-sweep`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_sweep::FUNCTION)
}
