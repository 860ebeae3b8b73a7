//! The program of `canary`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::canary::FUNCTION)
}
