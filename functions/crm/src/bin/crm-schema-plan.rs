//! The program of `crm-schema-plan`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_schema_plan::FUNCTION)
}
