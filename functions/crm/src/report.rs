//! What an invocation of the engine did: one measurement and one line.

use std::collections::BTreeMap;

use rollcall_crm::engine::Report;
use rollcall_domain::time::Timestamp;
use rollcall_runtime::metrics::{Metric, emit};

/// The status of calls that were refused for their rate (RFC 6585 §4).
const RATE_LIMITED: u16 = 429;

/// Measures and logs `report`. `oldest` is when the oldest of the changes was written, if that is
/// known; the lag is measured only when all of them have reached the CRM.
pub(crate) fn tell(report: &Report, oldest: Option<Timestamp>, now: Timestamp) {
    let tally = report.tally;
    let limited = report.refusals.get(&RATE_LIMITED).copied().unwrap_or_default();
    let refused = report.refusals.values().sum::<usize>() - limited;
    let mut values = vec![
        (Metric::CrmSent, count(tally.sent)),
        (Metric::CrmUnchanged, count(tally.unchanged)),
        (Metric::CrmPending, count(tally.pending)),
        (Metric::CrmPaced, count(tally.paced)),
        (Metric::CrmDead, count(tally.dead)),
        (Metric::CrmCalls, count(report.calls)),
        (Metric::CrmCallsLimited, count(limited)),
        (Metric::CrmCallsRefused, count(refused)),
        (Metric::CrmCallsLost, count(report.calls_lost)),
    ];
    let all_arrived = tally.sent > 0 && tally.pending == 0 && report.failed.is_empty();
    if let Some(oldest) = oldest.filter(|_| all_arrived) {
        // Clocks of two machines differ a little.
        let lag = now.duration_since(oldest).as_secs_f64().max(0.0);
        values.push((Metric::CrmLag, lag * 1_000.0));
    }
    emit(now, &values);
    if report.events_missing {
        tracing::warn!(
            "the portal has no custom events, or the key no permission for them: milestones are told as properties only"
        );
    }
    tracing::info!(
        sent = tally.sent,
        unchanged = tally.unchanged,
        pending = tally.pending,
        dead = tally.dead,
        blocked = tally.blocked,
        removed = tally.removed,
        told = tally.told,
        failed = report.failed.len(),
        calls = report.calls,
        refusals = statuses(&report.refusals),
        "changes were looked at"
    );
}

/// How many calls were refused with which HTTP status, such as `429:2 503:1`.
fn statuses(refusals: &BTreeMap<u16, usize>) -> String {
    let told = refusals.iter().map(|(status, calls)| format!("{status}:{calls}"));
    told.collect::<Vec<_>>().join(" ")
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
