//! What instructors say about the work of others, stored in the learner's own records of progress.

use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::progress::Changes;
use rollcall_resources::{Grant, Table};

use crate::audit;
use crate::learner::{self, Write};
use crate::tables::capability;
use crate::update::Applied;
use crate::users::in_use_part;

capability! {
    /// Records what instructors say about tasks.
    GradeRecorder,
    Grant::table(Table::Enrollments, &["dynamodb:Query"]),
    Grant::table(Table::Progress, &["dynamodb:Query", "dynamodb:PutItem"]),
    Grant::table(Table::Users, &["dynamodb:ConditionCheckItem"]),
    audit::APPEND,
}

impl GradeRecorder {
    /// Everything the user did, strongly consistent item by item; nothing of nobody.
    pub async fn load(&self, user: &UserId) -> Result<Learner, PortError> {
        learner::load(&self.tables, user).await
    }

    /// Stores all changes with their entry in the audit log, or none. `false`: there is no such user,
    /// or they are about to go. `Conflict` when the learner changed since it was loaded.
    pub async fn store(
        &self,
        write: Write<'_>,
        changes: &Changes,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let operation = "store a grade";
        let mut parts = vec![in_use_part(&self.tables, write.user)?];
        parts.extend(learner::parts(&self.tables, write, changes)?);
        parts.push(audit::part(&self.tables, entry)?);
        match self.tables.commit(operation, parts).await? {
            Applied::All => Ok(true),
            Applied::Refused(0) => Ok(false),
            Applied::Refused(_) => {
                let text = "the learner changed meanwhile";
                Err(PortError::new(operation, PortErrorClass::Conflict, text))
            }
        }
    }
}
