//! The program of `certificate-image`.

fn main() -> std::process::ExitCode {
    rollcall_runtime::run(&rollcall_functions_learning::certificate_image::FUNCTION)
}
