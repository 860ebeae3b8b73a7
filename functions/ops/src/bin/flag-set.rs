//! The program of `flag-set`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::flag_set::FUNCTION)
}
