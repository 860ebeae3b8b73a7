//! The program of `auth-me`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::auth_me::FUNCTION)
}
