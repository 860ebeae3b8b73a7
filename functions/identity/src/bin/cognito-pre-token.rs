//! The program of `cognito-pre-token`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::cognito_pre_token::FUNCTION)
}
