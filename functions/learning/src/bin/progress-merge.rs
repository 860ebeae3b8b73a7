//! The program of `progress-merge`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::progress_merge::FUNCTION)
}
