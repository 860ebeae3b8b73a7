//! The program of `route-group-set`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_ops::route_group_set::FUNCTION)
}
