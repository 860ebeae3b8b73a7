//! The program of `status`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::status::FUNCTION)
}
