//! The program of `certificate-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_get::FUNCTION)
}
