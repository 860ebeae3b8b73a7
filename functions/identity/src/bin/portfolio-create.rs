//! The program of `portfolio-create`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::portfolio_create::FUNCTION)
}
