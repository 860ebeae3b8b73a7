//! The program of `enrollment-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::enrollment_list::FUNCTION)
}
