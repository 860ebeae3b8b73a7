//! The program of `certificate-name`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_name::FUNCTION)
}
