//! The program of `dead-letter-dry-run`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::dead_letter_dry_run::FUNCTION)
}
