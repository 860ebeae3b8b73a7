//! The program of `progress-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::progress_get::FUNCTION)
}
