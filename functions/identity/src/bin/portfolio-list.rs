//! The program of `portfolio-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::portfolio_list::FUNCTION)
}
