//! The program of `portfolio-delete`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::portfolio_delete::FUNCTION)
}
