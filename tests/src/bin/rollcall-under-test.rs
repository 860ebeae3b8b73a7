//! The `rollcall` program, built with the tests.

fn main() -> std::process::ExitCode {
    rollcall_cli::main()
}
