//! The program of `award`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::award::FUNCTION)
}
