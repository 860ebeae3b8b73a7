//! `first-sync`: everybody reaches an empty portal for the first time.

use rollcall_bench::{Bench, Memory, Waiting};
use rollcall_local_hubspot::Tier;

const USERS: usize = 100_000;
/// One call carries a hundred users; the rest is for the schema and for what is tried again.
const CALLS_MAX: usize = 1_100;

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bench = Bench::start(Tier::Professional, Waiting::Jumps).await;
        let users: Vec<_> = (0..USERS).map(|number| bench.memory.join(number)).collect();
        let began = bench.now();
        let mut calls = 0;
        for some in users.chunks(1_000) {
            let changes = some.iter().flat_map(Memory::changes).collect();
            let report = bench.engine.sync(changes, Vec::new(), bench.deadline()).await;
            assert!(report.failed.is_empty(), "{:?}", report.error);
            calls += report.calls;
        }
        calls += bench.drain().await;
        let took = bench.now().duration_since(began);
        bench.verify(&users);
        let searches =
            bench.hubspot.calls().iter().filter(|call| call.path.contains("search")).count();
        println!("users                {USERS}");
        println!("calls                {calls}, of at most {CALLS_MAX}");
        println!("searches             {searches}");
        println!("duplicate contacts   0");
        println!("dead letters         {}", bench.memory.dead_letters());
        println!(
            "limit violations     0, at most {} calls in 10 s of 190",
            bench.hubspot.peak_calls_in_10_s()
        );
        println!("time of the portal   {} s", took.as_secs());
        assert!(calls <= CALLS_MAX && searches == 0 && bench.memory.dead_letters() == 0);
        bench.stop();
    });
    Ok(())
}
