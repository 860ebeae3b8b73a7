//! The program of `certificate-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_list::FUNCTION)
}
