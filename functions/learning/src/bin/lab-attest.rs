//! The program of `lab-attest`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::lab_attest::FUNCTION)
}
