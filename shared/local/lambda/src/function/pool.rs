//! Which processes exist, and which of them are free.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Function;
use super::process::Process;

#[derive(Default)]
struct Processes {
    /// Least recently used first.
    idle: Vec<Arc<Process>>,
    busy: Vec<Arc<Process>>,
}

#[derive(Default)]
pub(super) struct Pool {
    processes: Mutex<Processes>,
}

impl Pool {
    /// The most recently used free process of `function`, now busy.
    pub(super) fn take(&self, function: &Arc<Function>) -> Option<Arc<Process>> {
        let mut processes = self.lock();
        processes.idle.retain(|process| !process.has_exited());
        let position =
            processes.idle.iter().rposition(|process| Arc::ptr_eq(&process.function, function))?;
        let process = processes.idle.remove(position);
        processes.busy.push(Arc::clone(&process));
        Some(process)
    }

    /// Adds a process that is about to get its first event.
    pub(super) fn add(&self, process: &Arc<Process>) {
        self.lock().busy.push(Arc::clone(process));
    }

    /// Frees a process, or gives it back when its function has `warm_max` free ones already.
    pub(super) fn release(
        &self,
        process: Arc<Process>,
        warm_max: usize,
    ) -> Result<(), Arc<Process>> {
        let mut processes = self.lock();
        processes.busy.retain(|busy| !Arc::ptr_eq(busy, &process));
        let warm = processes
            .idle
            .iter()
            .filter(|idle| Arc::ptr_eq(&idle.function, &process.function))
            .count();
        if warm >= warm_max {
            return Err(process);
        }
        processes.idle.push(process);
        Ok(())
    }

    /// Drops a process that has ended or is about to.
    pub(super) fn forget(&self, process: &Arc<Process>) {
        self.lock().busy.retain(|busy| !Arc::ptr_eq(busy, process));
    }

    /// Takes out the least recently used free processes until at most `idle_max` are left.
    pub(super) fn evict(&self, idle_max: usize) -> Vec<Arc<Process>> {
        let mut processes = self.lock();
        processes.idle.retain(|process| !process.has_exited());
        let surplus = processes.idle.len().saturating_sub(idle_max);
        processes.idle.drain(..surplus).collect()
    }

    /// Takes out the free processes of `function`.
    pub(super) fn retire(&self, function: &Arc<Function>) -> Vec<Arc<Process>> {
        self.lock()
            .idle
            .extract_if(.., |process| Arc::ptr_eq(&process.function, function))
            .collect()
    }

    /// The processes that are handling an event for the function called `name`.
    pub(super) fn handling(&self, name: &str) -> Vec<Arc<Process>> {
        let is_meant =
            |process: &&Arc<Process>| process.function.spec.name == name && process.is_handling();
        self.lock().busy.iter().filter(is_meant).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
