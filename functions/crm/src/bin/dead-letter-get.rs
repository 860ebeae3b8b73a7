//! The program of `dead-letter-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::dead_letter_get::FUNCTION)
}
