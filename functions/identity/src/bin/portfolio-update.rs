//! The program of `portfolio-update`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::portfolio_update::FUNCTION)
}
