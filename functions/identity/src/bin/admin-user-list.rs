//! The program of `admin-user-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::admin_user_list::FUNCTION)
}
