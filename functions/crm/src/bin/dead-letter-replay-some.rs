//! The program of `dead-letter-replay-some`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::dead_letter_replay_some::FUNCTION)
}
