//! The program of `unenroll`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::unenroll::FUNCTION)
}
