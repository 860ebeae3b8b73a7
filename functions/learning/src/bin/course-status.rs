//! The program of `course-status`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::course_status::FUNCTION)
}
