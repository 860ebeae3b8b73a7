//! The program of `crm-opt-out`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_opt_out::FUNCTION)
}
