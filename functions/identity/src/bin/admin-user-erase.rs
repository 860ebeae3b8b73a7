//! The program of `admin-user-erase`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::admin_user_erase::FUNCTION)
}
