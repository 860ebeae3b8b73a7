//! The catalogue: every function there is.

use rollcall_runtime::Function;

/// The contexts and their functions.
pub static CONTEXTS: [(&str, &[&Function]); 4] = [
    ("crm", rollcall_functions_crm::FUNCTIONS),
    ("identity", rollcall_functions_identity::FUNCTIONS),
    ("learning", rollcall_functions_learning::FUNCTIONS),
    ("ops", rollcall_functions_ops::FUNCTIONS),
];

/// Every function, by name.
pub fn functions() -> Vec<&'static Function> {
    let mut functions: Vec<&'static Function> =
        CONTEXTS.iter().flat_map(|(_, functions)| functions.iter().copied()).collect();
    functions.sort_by_key(|function| function.name);
    functions
}
