//! `pacing`: twenty senders at once, all day busy, at each tier of HubSpot's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall_bench::{Bench, Memory, Waiting};
use rollcall_domain::time::{SignedDuration, after};
use rollcall_local_hubspot::Tier;

const SENDERS: usize = 20;
/// The first seconds, with the burst of a portal that was quiet, do not count.
const WARM_UP: SignedDuration = SignedDuration::from_secs(5);
const MEASURED: SignedDuration = SignedDuration::from_secs(20);
/// Share of the allowed rate that has to be used, in percent.
const USED_PERCENT_MIN: usize = 90;

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("tier            allowed in 10 s   most in 10 s   used   violations");
    for tier in [Tier::Starter, Tier::PublicApp, Tier::Professional, Tier::AddOn] {
        runtime.block_on(measure(tier));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
async fn measure(tier: Tier) {
    let bench = Bench::start(tier, Waiting::Sleeps).await;
    let (from, until) = (after(bench.now(), WARM_UP), after(bench.now(), WARM_UP + MEASURED));
    let number = AtomicUsize::new(0);
    let sending = (0..SENDERS).map(|_| async {
        let mut users = Vec::new();
        while bench.now() < until {
            let user = bench.memory.join(number.fetch_add(1, Ordering::Relaxed));
            let changes = Memory::changes(&user);
            users.push(user);
            let report = bench.engine.sync(changes, Vec::new(), bench.deadline()).await;
            assert!(report.failed.is_empty(), "{:?}", report.error);
            if report.calls == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        users
    });
    let users = futures::future::join_all(sending).await.concat();
    let calls = bench.hubspot.calls();
    let counted = calls.iter().filter(|call| (from..until).contains(&call.at)).count();
    let limit = usize::try_from(tier.burst_limit()).unwrap_or_default();
    let windows = usize::try_from(MEASURED.as_secs() / 10).unwrap_or_default();
    let used = counted * 100 / (limit * windows);
    bench.drain().await;
    bench.verify(&users);
    let peak = bench.hubspot.peak_calls_in_10_s();
    println!("{:<15} {limit:>15} {peak:>14} {used:>5}%   0", format!("{tier:?}"));
    assert!(used >= USED_PERCENT_MIN, "{used} %");
    bench.stop();
}
