//! The program of `catalog-get`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::catalog_get::FUNCTION)
}
