//! The program of `credential-status`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::credential_status::FUNCTION)
}
