//! Deletion by time to live, in the moment AWS would at the earliest.
//!
//! The engine's own sweep parses every item of every table with a time to live. It runs only when
//! an index over the expiry says that there is something to delete, so that an idle local cloud
//! with much data stays idle.

use dynoxide::storage::Storage;

/// Whether an item's time to live has passed at `now`, in seconds since the epoch.
pub(crate) fn is_due(storage: &Storage, now: i64) -> dynoxide::Result<bool> {
    for table in storage.list_ttl_enabled_tables()? {
        let Some(attribute) = table.ttl_attribute else {
            continue;
        };
        if is_due_in(storage, &table.table_name, &attribute, now)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_due_in(storage: &Storage, table: &str, attribute: &str, now: i64) -> dynoxide::Result<bool> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if !attribute.chars().all(is_plain) {
        // It would have to be escaped within a path within a string: let the engine look itself.
        return Ok(true);
    }
    let expiry = format!("CAST(json_extract(item_json, '$.{attribute}.N') AS INTEGER)");
    let connection = storage.conn();
    connection.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS \"_rollcall_expiry_{table}_{attribute}\"
         ON \"{table}\" ({expiry})"
    ))?;
    let query =
        format!("SELECT EXISTS (SELECT 1 FROM \"{table}\" WHERE {expiry} BETWEEN 0 AND ?1 - 1)");
    Ok(connection.prepare_cached(&query)?.query_row([now], |row| row.get(0))?)
}
