//! Mistakes that the engine makes on purpose, one against each promise, so that the simulation is
//! seen to notice them. Only a build with `--cfg mistakes` can make any.

use std::borrow::Cow;

use super::Engine;
use crate::classifier::Failure;
use crate::milestone::Milestone;
use crate::pending::PendingRow;
use crate::port::{CallOutcome, Input, ItemResult};

/// A mistake of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Forgets what changes while the portal is paused.
    Forget,
    /// Believes that a call was taken whose answer never came.
    Believe,
    /// Removes what waits before it is sent.
    Hurry,
    /// Sends while another sender does.
    Overtake,
    /// Tells a milestone by another id with every try.
    Repeat,
    /// Calls without waiting for its turn.
    Rush,
    /// Writes about people who have to leave the CRM.
    Pursue,
    /// Lays the refusal of a whole call to the account of everybody in it.
    Accuse,
    /// Refuses for good without a dead letter.
    Bury,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 9] = [
        Self::Forget,
        Self::Believe,
        Self::Hurry,
        Self::Overtake,
        Self::Repeat,
        Self::Rush,
        Self::Pursue,
        Self::Accuse,
        Self::Bury,
    ];
}

impl Engine {
    /// The engine with one mistake.
    #[cfg(mistakes)]
    #[must_use]
    pub fn with(self, mistake: Option<Mistake>) -> Self {
        Self { mistake, ..self }
    }

    /// Whether it makes `mistake`.
    #[cfg(mistakes)]
    pub(super) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Never: the programs that people use make no mistakes on purpose.
    #[cfg(not(mistakes))]
    #[expect(clippy::unused_self, reason = "the other build asks the engine")]
    pub(super) const fn makes(&self, _mistake: Mistake) -> bool {
        false
    }

    /// Removes rows that it has only read.
    pub(super) async fn hurry(&self, rows: &[PendingRow]) {
        if self.makes(Mistake::Hurry) {
            for PendingRow { dirty, mark, .. } in rows {
                // What stays is sent twice, which is no promise broken.
                let _stays = self.ports.pending.resolve(&dirty.user, dirty.facet, mark).await;
            }
        }
    }

    /// What it takes `outcome` for.
    pub(super) fn mistaken(&self, outcome: CallOutcome, inputs: &[Input]) -> CallOutcome {
        let all = |result: &dyn Fn(&Input) -> ItemResult| {
            let results = inputs.iter().map(|input| (input.user.to_string(), result(input)));
            CallOutcome::Answered(results.collect())
        };
        match outcome {
            CallOutcome::Unknown if self.makes(Mistake::Believe) => {
                all(&|input| ItemResult::Written { contact_id: input.user.to_string() })
            }
            CallOutcome::Refused(failure)
                if failure.status == 400 && self.makes(Mistake::Accuse) =>
            {
                all(&|_| ItemResult::Failed(Failure { status: 414, ..failure.clone() }))
            }
            outcome => outcome,
        }
    }

    /// The milestones of a call as it tells them.
    pub(super) fn repeated<'a>(
        &self,
        batch: &'a [(Milestone, String)],
    ) -> Cow<'a, [(Milestone, String)]> {
        if !self.makes(Mistake::Repeat) {
            return Cow::Borrowed(batch);
        }
        let again = batch
            .iter()
            .cloned()
            .map(|(milestone, contact)| (Milestone { id: self.token(), ..milestone }, contact));
        Cow::Owned(again.collect())
    }
}
