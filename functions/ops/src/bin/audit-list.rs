//! The program of `audit-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::audit_list::FUNCTION)
}
