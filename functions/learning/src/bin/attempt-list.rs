//! The program of `attempt-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::attempt_list::FUNCTION)
}
