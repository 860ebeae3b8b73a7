//! Everything that is kept of a person, as one file: their items of every table, as they are stored.
//! What only proves who somebody is, such as the hashes of session cookies and the sealed tokens of the
//! identity provider, is left out. People get their own, and administrators that of somebody who asked
//! in another way.

use std::collections::BTreeMap;

use rollcall_domain::id::UserId;
use rollcall_domain::time::Timestamp;
use rollcall_edge::Response;
use rollcall_store::personal::Holding;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// What the file is called.
const DISPOSITION: &str = r#"attachment; filename="rollcall-export.json""#;

/// Everything that is kept of a person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Export")]
pub(crate) struct Archive {
    /// The user.
    user_id: String,
    /// When the export was made (RFC 3339, UTC).
    exported_at: String,
    /// What each table keeps, by its name; `item` names an item within its table.
    tables: BTreeMap<&'static str, Vec<Map<String, Value>>>,
}

/// The file.
pub(crate) fn answer(user: &UserId, holdings: Vec<Holding>, now: Timestamp) -> Response {
    let tables = holdings.into_iter().map(|Holding { table, items }| (table.name(), items));
    let archive = Archive {
        user_id: user.to_string(),
        exported_at: now.to_string(),
        tables: tables.collect(),
    };
    Response::json(200, &archive).with_header("content-disposition", DISPOSITION)
}
