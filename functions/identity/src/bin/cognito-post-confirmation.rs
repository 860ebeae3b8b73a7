//! The program of `cognito-post-confirmation`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::cognito_post_confirmation::FUNCTION)
}
