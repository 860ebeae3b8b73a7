//! The program of `crm-finding-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_finding_list::FUNCTION)
}
