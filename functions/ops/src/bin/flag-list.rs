//! The program of `flag-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::flag_list::FUNCTION)
}
