//! The program of `user-erase`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_erase::FUNCTION)
}
