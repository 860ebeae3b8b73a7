//! The program of `invitation-create`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::invitation_create::FUNCTION)
}
