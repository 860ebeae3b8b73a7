//! The program of `claim-answer`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::claim_answer::FUNCTION)
}
