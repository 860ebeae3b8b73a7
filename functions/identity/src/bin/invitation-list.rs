//! The program of `invitation-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::invitation_list::FUNCTION)
}
