//! The program of `event-track`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::event_track::FUNCTION)
}
