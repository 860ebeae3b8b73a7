//! The program of `grade-override`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::grade_override::FUNCTION)
}
