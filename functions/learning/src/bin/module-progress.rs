//! The program of `module-progress`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::module_progress::FUNCTION)
}
