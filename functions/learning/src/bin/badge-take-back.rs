//! The program of `badge-take-back`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::badge_take_back::FUNCTION)
}
