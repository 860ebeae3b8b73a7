//! The program of `badge-award`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::badge_award::FUNCTION)
}
