//! The program of `crm-schema-apply`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_crm::crm_schema_apply::FUNCTION)
}
