//! The program of `invitation-withdraw`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::invitation_withdraw::FUNCTION)
}
