//! The program of `certificate-revoke`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_revoke::FUNCTION)
}
