//! The program of `lab-validate`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::lab_validate::FUNCTION)
}
