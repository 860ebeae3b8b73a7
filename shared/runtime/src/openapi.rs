//! Schemas of wire types, as the OpenAPI document needs them.

use schemars::{JsonSchema, SchemaGenerator};

/// The schema of one wire type, made on demand.
pub type Schema = fn(&mut SchemaGenerator) -> schemars::Schema;

/// The schema of `T`.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<T>()
}
