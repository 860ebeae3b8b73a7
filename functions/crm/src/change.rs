//! From a changed item to the user and facet that the CRM has to hear about.

use rollcall_crm::pending::Dirty;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_resources::Table;

/// The table of a stream, by the stream's ARN.
pub(crate) fn table_of(stream_arn: &str, stage: &str) -> Option<Table> {
    let (_, rest) = stream_arn.split_once(":table/")?;
    let (name, _) = rest.split_once("/stream/")?;
    let mut streamed = Table::ALL.into_iter().filter(|table| table.has_stream());
    streamed.find(|table| table.full_name(stage) == name)
}

/// What the CRM has to hear about after a change in `table`; `None` for items that are no part of a
/// user's state, such as the claim on an identity.
pub(crate) fn dirty(table: Table, key: &str, trace_id: Option<String>) -> Option<Dirty> {
    let facet = match table {
        Table::Users => Facet::Identity,
        Table::Enrollments | Table::Progress => Facet::Learning,
        Table::Catalog | Table::Crm | Table::Edge | Table::Audit | Table::Mail => return None,
    };
    let user: UserId = key.strip_prefix("user#")?.parse().ok()?;
    Some(Dirty { user, facet, trace_id })
}
