//! The program of `admin-user-merge`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::admin_user_merge::FUNCTION)
}
