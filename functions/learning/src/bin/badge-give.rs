//! The program of `badge-give`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::badge_give::FUNCTION)
}
