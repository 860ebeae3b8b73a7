//! The program of `portfolio-public`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::portfolio_public::FUNCTION)
}
