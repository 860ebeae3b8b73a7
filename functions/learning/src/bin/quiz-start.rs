//! The program of `quiz-start`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::quiz_start::FUNCTION)
}
