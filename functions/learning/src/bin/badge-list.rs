//! The program of `badge-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::badge_list::FUNCTION)
}
