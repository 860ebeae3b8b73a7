//! The program of `certificate-credential`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_credential::FUNCTION)
}
