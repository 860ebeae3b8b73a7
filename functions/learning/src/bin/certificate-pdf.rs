//! The program of `certificate-pdf`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_pdf::FUNCTION)
}
