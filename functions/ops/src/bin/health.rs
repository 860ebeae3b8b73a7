//! The program of `health`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::health::FUNCTION)
}
