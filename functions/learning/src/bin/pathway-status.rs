//! The program of `pathway-status`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::pathway_status::FUNCTION)
}
