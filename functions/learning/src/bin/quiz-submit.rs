//! The program of `quiz-submit`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::quiz_submit::FUNCTION)
}
