//! The program of `enroll`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::enroll::FUNCTION)
}
