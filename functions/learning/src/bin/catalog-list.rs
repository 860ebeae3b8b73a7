//! The program of `catalog-list`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::catalog_list::FUNCTION)
}
