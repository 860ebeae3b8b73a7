//! What an invocation of the engine did: one measurement and one line.

use rollcall_crm::engine::Report;
use rollcall_domain::time::Timestamp;
use rollcall_runtime::metrics::{Metric, emit};

/// Measures and logs `report`. `oldest` is when the oldest of the changes was written, if that is
/// known; the lag is measured only when all of them have reached the CRM.
pub(crate) fn tell(report: &Report, oldest: Option<Timestamp>, now: Timestamp) {
    let tally = report.tally;
    let mut values = vec![
        (Metric::CrmSent, count(tally.sent)),
        (Metric::CrmUnchanged, count(tally.unchanged)),
        (Metric::CrmPending, count(tally.pending)),
        (Metric::CrmPaced, count(tally.paced)),
        (Metric::CrmDead, count(tally.dead)),
        (Metric::CrmCalls, count(report.calls)),
        (Metric::CrmCallsLimited, count(report.calls_limited)),
        (Metric::CrmCallsRefused, count(report.calls_refused)),
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
        "changes were looked at"
    );
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
