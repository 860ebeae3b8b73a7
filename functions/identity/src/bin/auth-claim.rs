//! The program of `auth-claim`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_claim::FUNCTION)
}
