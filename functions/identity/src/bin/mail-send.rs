//! The program of `mail-send`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_identity::mail_send::FUNCTION)
}
