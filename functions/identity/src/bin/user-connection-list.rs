//! The program of `user-connection-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::user_connection_list::FUNCTION)
}
