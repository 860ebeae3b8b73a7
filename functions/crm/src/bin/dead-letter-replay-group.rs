//! The program of `dead-letter-replay-group`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::dead_letter_replay_group::FUNCTION)
}
