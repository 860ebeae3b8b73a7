//! Runs the functions: polls one at random, crashes some, delivers stream batches and nudges.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use rollcall_crm::dead_letter::{DeadLetter, Status};
use rollcall_crm::engine::{Engine, Ports, Report};
use rollcall_crm::inbound::work::{Delivery, Intake, TakenIn};
use rollcall_crm::inbound::{LOOK_AGAIN_SECONDS, Policy};
use rollcall_crm::milestone::{Milestone, MilestoneRow};
use rollcall_crm::pending::{Dirty, Mark, Reason, token};
use rollcall_crm::port::{Crm, PortError};
use rollcall_crm::reconcile;
use rollcall_crm::reconcile::work::Reconciler;
use rollcall_crm::turns::{Share, Turns};
use rollcall_domain::time::{Clock, after_seconds};

use crate::Outage;
use crate::world::{SHARDS, World};

const INVOCATION_SECONDS: i64 = 60;
const DRAIN_EVERY_MS: i64 = 60_000;
const STALL_MS_MAX: usize = 30_000;
const BATCH_RECORDS_MAX: usize = 8;
/// After which a message comes again that was not taken.
const MESSAGE_AGAIN_MS: usize = 30_000;
/// What is found wrong is right after one reconciliation, unless others made it wrong anew: contacts
/// that stand in each other's way are freed one after the other.
const RECONCILIATIONS_MAX: usize = 6;
/// Between two writes during an outage.
const STEADY_MS_MAX: usize = 30_000;

enum Source {
    /// A shard, and how many records the batch has.
    Shard(usize, usize),
    Drain,
    /// A delivery of what the CRM told.
    Inbound(Delivery),
    Reconcile,
}

struct Function {
    source: Source,
    future: Pin<Box<dyn Future<Output = ()>>>,
    report: Arc<Mutex<Option<Done>>>,
    ready_at: i64,
    killed_at: i64,
}

/// What a function answered.
enum Done {
    Engine(Report),
    Inbound(Result<TakenIn, PortError>),
    Reconcile,
}

pub(crate) struct Simulation {
    pub(crate) world: World,
    engine: Engine,
    intake: Intake,
    reconciler: Reconciler,
    functions: Vec<Function>,
    next_schedule: i64,
    /// How long it is quiet between writes when nothing else happens.
    quiet_ms: i64,
    pub(crate) steps: usize,
}

impl Simulation {
    pub(crate) fn new(world: World) -> Self {
        let crm = Arc::new(world.clone());
        Self::over(world, crm)
    }

    /// The same with another CRM.
    pub(crate) fn over(world: World, crm: Arc<dyn Crm>) -> Self {
        let shared = Arc::new(world.clone());
        let ports = Ports {
            crm,
            source: Arc::clone(&shared) as _,
            ledger: Arc::clone(&shared) as _,
            pending: Arc::clone(&shared) as _,
            milestones: Arc::clone(&shared) as _,
            budget: Arc::clone(&shared) as _,
            nudge: Arc::clone(&shared) as _,
            clock: Arc::clone(&shared) as _,
            sleep: Arc::clone(&shared) as _,
            random: Arc::clone(&world.random) as _,
        };
        let engine = Engine::new(ports, "test");
        let intake = Intake {
            store: Arc::clone(&shared) as _,
            budget: Arc::clone(&shared) as _,
            nudge: Arc::clone(&shared) as _,
            clock: Arc::clone(&shared) as _,
            random: Arc::clone(&world.random) as _,
            policy: Policy::Ours,
        };
        let turns = Turns {
            budget: Arc::clone(&shared) as _,
            clock: Arc::clone(&shared) as _,
            sleep: Arc::clone(&shared) as _,
            random: Arc::clone(&world.random) as _,
            share: Share::Leftover,
        };
        let reconciler = Reconciler {
            crm: Arc::clone(&shared) as _,
            turns,
            users: Arc::clone(&shared) as _,
            source: Arc::clone(&shared) as _,
            store: Arc::clone(&shared) as _,
            pending: Arc::clone(&shared) as _,
            nudge: shared,
        };
        Self {
            world,
            engine,
            intake,
            reconciler,
            functions: Vec::new(),
            next_schedule: 0,
            quiet_ms: 200,
            steps: 0,
        }
    }

    /// Lets the engine make a mistake.
    #[cfg(mistakes)]
    pub(crate) fn mistaken(self, mistake: Option<rollcall_crm::engine::Mistake>) -> Self {
        Self { engine: self.engine.with(mistake), ..self }
    }

    /// Lets `operations` random writes happen while everything runs and fails.
    pub(crate) fn run(&mut self, operations: usize) {
        let mut left = operations;
        while left > 0 {
            if self.world.below(12) == 0 {
                self.world.write();
                left -= 1;
            }
            if self.world.below(800) == 0 {
                self.replay();
            }
            if self.world.below(2_000) == 0 {
                self.world.leave();
            }
            self.meddle();
            self.turn();
        }
    }

    /// People do something in the CRM, or an operator has everything compared.
    fn meddle(&self) {
        let people = self.world.chances.people;
        if self.world.chance(people) {
            self.world.meddle();
        }
        if self.world.chance(people / 4) {
            let policy = reconcile::Policy::ALL[self.world.below(reconcile::Policy::ALL.len())];
            self.world.begin_reconciliation(policy);
        }
    }

    /// Has everything compared and put right until nothing differs, as often as is reasonable.
    pub(crate) fn reconcile(&mut self) {
        for _ in 0..RECONCILIATIONS_MAX {
            self.world.begin_reconciliation(reconcile::Policy::Repair);
            self.settle();
            let found = {
                let state = self.world.state();
                state.reconciliation.clone().map(|run| run.counts.found).unwrap_or_default()
            };
            if found.is_empty() {
                return;
            }
        }
        let state = self.world.state();
        panic!("seed {}: something differs for ever: {:?}", self.world.seed, state.findings);
    }

    /// Lets writes happen steadily while the CRM is away for `outage_ms`.
    pub(crate) fn run_through_outage(&mut self, outage_ms: i64) -> Outage {
        self.quiet_ms = 2_000;
        let end = self.world.begin_outage(outage_ms);
        let (mut writes, mut next) = (0, 0);
        loop {
            let now = self.world.state().now;
            if now >= end {
                break;
            }
            if now >= next {
                self.world.write();
                writes += 1;
                next = now + i64::try_from(self.world.below(STEADY_MS_MAX)).unwrap();
            }
            self.turn();
        }
        let pending = self.world.state().pending.len();
        Outage { writes, calls: self.world.calls(), pending, ..Outage::default() }
    }

    /// Ends all faults and runs until nothing is left to do; returns how long that took, in ms.
    pub(crate) fn settle(&mut self) -> i64 {
        self.world.state().faults = false;
        let begin = self.world.state().now;
        // Whose address is on another one's contact waits a day before the desk hears of it.
        let hours = if self.world.chances.people > 0 { 30 } else { 8 };
        loop {
            let now = {
                let state = self.world.state();
                let idle = state.stream.iter().all(std::collections::VecDeque::is_empty)
                    && state.pending.is_empty()
                    && state.deliveries.is_empty()
                    && !state.reconciles()
                    && state.waiting.values().all(|row| state.is_stuck(row));
                if idle && self.functions.is_empty() {
                    return state.now - begin;
                }
                state.now
            };
            if now - begin >= hours * 3_600_000 {
                let state = self.world.state();
                let (seed, waits, run) = (self.world.seed, &state.pending, &state.reconciliation);
                let told = &state.waiting;
                panic!("seed {seed}: still at work after {hours} h: {waits:?} {told:?} {run:?}");
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.start_functions();
        self.world.commit_due();
        let now = self.world.state().now;
        let ready: Vec<usize> = (0..self.functions.len())
            .filter(|index| self.functions[*index].ready_at <= now)
            .collect();
        if ready.is_empty() {
            self.advance(now);
            return;
        }
        self.poll(ready[self.world.below(ready.len())]);
        let passed = i64::from(self.world.below(3) == 0);
        self.world.state().now += passed;
    }

    /// To the next moment at which something happens.
    fn advance(&self, now: i64) {
        let mut state = self.world.state();
        let functions = self.functions.iter().map(|function| function.ready_at);
        let commits = state.commits.iter().map(|commit| commit.at);
        let deliveries = state.deliveries.iter().map(|(at, _)| *at);
        let next = functions.chain(commits).chain(deliveries).chain(state.nudges.iter().copied());
        // Writes go on while nothing else happens.
        let step = if state.faults { self.quiet_ms } else { DRAIN_EVERY_MS };
        let next = next.chain([self.next_schedule, now + step]).filter(|at| *at > now).min();
        state.now = next.unwrap_or(now + 1);
    }

    fn start_functions(&mut self) {
        for shard in 0..SHARDS {
            let busy = self.functions.iter().any(
                |function| matches!(function.source, Source::Shard(other, _) if other == shard),
            );
            let waiting = self.world.state().stream[shard].len();
            if !busy && waiting > 0 {
                let records = (1 + self.world.below(BATCH_RECORDS_MAX)).min(waiting);
                let batch: Vec<(Dirty, Vec<Milestone>)> =
                    self.world.state().stream[shard].iter().take(records).cloned().collect();
                self.start(Source::Shard(shard, records), batch);
            }
        }
        let now = self.world.state().now;
        let nudged = {
            let mut state = self.world.state();
            let before = state.nudges.len();
            state.nudges.retain(|at| *at > now);
            before > state.nudges.len()
        };
        let drains = self.functions.iter().filter(|f| matches!(f.source, Source::Drain)).count();
        if (nudged || self.next_schedule <= now) && drains < 2 {
            self.start(Source::Drain, Vec::new());
        }
        if self.next_schedule <= now {
            self.next_schedule = now + DRAIN_EVERY_MS;
            let running = |function: &Function| matches!(function.source, Source::Reconcile);
            if self.world.state().reconciles()
                && self.functions.iter().filter(|function| running(function)).count() < 2
            {
                self.start(Source::Reconcile, Vec::new());
            }
        }
        let arrived: Vec<Delivery> = {
            let mut state = self.world.state();
            let (arrived, later) = state.deliveries.drain(..).partition(|(at, _)| *at <= now);
            state.deliveries = later;
            let arrived: Vec<(i64, Delivery)> = arrived;
            arrived.into_iter().map(|(_, delivery)| delivery).collect()
        };
        for delivery in arrived {
            self.start(Source::Inbound(delivery), Vec::new());
        }
    }

    fn start(&mut self, source: Source, batch: Vec<(Dirty, Vec<Milestone>)>) {
        let now = self.world.now();
        let deadline = after_seconds(now, INVOCATION_SECONDS);
        let report = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&report);
        let done: Pin<Box<dyn Future<Output = Done>>> = match &source {
            Source::Drain => {
                let engine = self.engine.clone();
                Box::pin(async move { Done::Engine(engine.drain(deadline).await) })
            }
            Source::Shard(..) => {
                let engine = self.engine.clone();
                let (dirty, milestones): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                let milestones = milestones.concat();
                Box::pin(
                    async move { Done::Engine(engine.sync(dirty, milestones, deadline).await) },
                )
            }
            Source::Inbound(delivery) => {
                let (intake, delivery) = (self.intake.clone(), delivery.clone());
                Box::pin(async move { Done::Inbound(intake.take_in(&delivery).await) })
            }
            Source::Reconcile => {
                let reconciler = self.reconciler.clone();
                // What failed goes on with the next invocation.
                Box::pin(async move {
                    drop(reconciler.work(deadline).await);
                    Done::Reconcile
                })
            }
        };
        let future = Box::pin(async move {
            let done = done.await;
            *slot.lock().unwrap() = Some(done);
        });
        let (ready_at, killed_at) = (now.as_millisecond(), deadline.as_millisecond());
        self.functions.push(Function { source, future, report, ready_at, killed_at });
    }

    fn poll(&mut self, index: usize) {
        self.steps += 1;
        let now = self.world.state().now;
        if self.functions[index].killed_at <= now || self.world.fault(self.world.chances.crash) {
            // A crash: the batch is delivered again, the rows are still there.
            let function = self.functions.swap_remove(index);
            if let Source::Inbound(delivery) = function.source {
                self.world.deliver(delivery, MESSAGE_AGAIN_MS);
            }
            return;
        }
        if self.world.fault(self.world.chances.stall) {
            // A frozen sandbox, a long collection of garbage, a lost packet.
            let stalled = i64::try_from(self.world.below(STALL_MS_MAX)).unwrap();
            self.functions[index].ready_at = now + stalled;
            return;
        }
        self.world.state().wait = None;
        let function = &mut self.functions[index];
        let polled = function.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled.is_pending() {
            function.ready_at = self.world.state().wait.unwrap_or(now);
            return;
        }
        let function = self.functions.swap_remove(index);
        let done = function.report.lock().unwrap().take().unwrap();
        match (function.source, done) {
            (Source::Shard(shard, records), Done::Engine(report)) => {
                self.checkpoint(shard, records, &report);
            }
            (Source::Inbound(delivery), Done::Inbound(became)) => match became {
                Ok(TakenIn { again, .. }) => {
                    let seconds = usize::try_from(LOOK_AGAIN_SECONDS).unwrap();
                    if let Some(again) = again {
                        self.world.deliver(again, seconds * 1_000);
                    }
                }
                Err(_) => self.world.deliver(delivery, MESSAGE_AGAIN_MS),
            },
            _ => {}
        }
    }

    fn checkpoint(&self, shard: usize, records: usize, report: &Report) {
        let failed: &BTreeSet<_> = &report.failed;
        let duplicated = self.world.fault(50);
        let mut state = self.world.state();
        let good = state.stream[shard]
            .iter()
            .take(records)
            .take_while(|(dirty, _)| !failed.contains(&dirty.user))
            .count();
        if !duplicated {
            state.stream[shard].drain(..good);
        }
    }

    /// An operator replays a dead letter.
    fn replay(&self) {
        let now = self.world.now();
        let mark = token(&*self.world.random);
        let mut state = self.world.state();
        // Nobody reads a letter and replays it before the function that wrote it has put its row away.
        let closing: BTreeSet<String> = state.waiting.keys().cloned().collect();
        let is_closing = |letter: &DeadLetter| {
            letter.milestone.as_ref().is_some_and(|milestone| closing.contains(&milestone.id))
        };
        let mut letters = state.letters.values_mut();
        let open = letters.find(|letter| letter.status == Status::Open && !is_closing(letter));
        let Some(letter) = open else { return };
        letter.status = Status::Replaying;
        if let Some(milestone) = letter.milestone.clone() {
            let row = MilestoneRow::new(milestone, now);
            state.waiting.insert(row.milestone.id.clone(), row);
            return;
        }
        let dirty = Dirty { user: letter.user.clone(), facet: letter.facet, trace_id: None };
        let mark = Mark { dirty, mark, reason: Reason::Replay, attempts: 0, now, due_at: now };
        state.mark(&mark, true);
    }
}
