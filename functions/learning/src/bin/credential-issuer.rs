//! The program of `credential-issuer`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::credential_issuer::FUNCTION)
}
