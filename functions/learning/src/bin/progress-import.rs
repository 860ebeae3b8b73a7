//! The program of `progress-import`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::progress_import::FUNCTION)
}
