//! The program of `catalog-publish`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::catalog_publish::FUNCTION)
}
