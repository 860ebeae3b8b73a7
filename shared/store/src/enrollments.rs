//! The table `enrollments`: under `user#{id}`, an item `enrollment#{kind}#{slug}` each.

use jiff::Timestamp;
use rollcall_domain::enrollment::{Enrollment, Target};
use rollcall_domain::id::UserId;
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::PortError;
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;
use crate::tables::{Tables, capability};

const PREFIX: &str = "enrollment#";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EnrollmentItem {
    pk: String,
    sk: String,
    kind: String,
    slug: Slug,
    source: Option<String>,
    enrolled_at: Timestamp,
    withdrawn_at: Option<Timestamp>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl EnrollmentItem {
    pub(crate) fn new(user: &UserId, enrollment: &Enrollment, trace_id: &str) -> Self {
        let Enrollment { target, source, enrolled_at, withdrawn_at, version, updated_at } =
            enrollment.clone();
        Self {
            pk: partition(user),
            sk: sort(&target),
            kind: target.kind.as_str().to_owned(),
            slug: target.slug,
            source,
            enrolled_at,
            withdrawn_at,
            version,
            updated_at,
            trace_id: trace_id.to_owned(),
        }
    }
}

impl TryFrom<EnrollmentItem> for Enrollment {
    type Error = PortError;

    fn try_from(item: EnrollmentItem) -> Result<Self, PortError> {
        let kind = item.kind.parse().map_err(corrupt("decode an enrolment"))?;
        Ok(Self {
            target: Target { kind, slug: item.slug },
            source: item.source,
            enrolled_at: item.enrolled_at,
            withdrawn_at: item.withdrawn_at,
            version: item.version,
            updated_at: item.updated_at,
        })
    }
}

fn partition(user: &UserId) -> String {
    format!("user#{user}")
}

fn sort(target: &Target) -> String {
    format!("{PREFIX}{}#{}", target.kind, target.slug)
}

pub(crate) async fn all(tables: &Tables, user: &UserId) -> Result<Vec<Enrollment>, PortError> {
    let items: Vec<EnrollmentItem> =
        tables.query(Table::Enrollments, &partition(user), PREFIX, RECORDS_PER_USER_MAX).await?;
    items.into_iter().map(Enrollment::try_from).collect()
}

capability! {
    /// Lists a user's enrolments.
    EnrollmentReader, Grant::table(Table::Enrollments, &["dynamodb:Query"])
}

impl EnrollmentReader {
    /// All enrolments of a user, left ones too, strongly consistent.
    pub async fn all(&self, user: &UserId) -> Result<Vec<Enrollment>, PortError> {
        all(&self.tables, user).await
    }
}

capability! {
    /// Enrols and withdraws.
    EnrollmentWriter,
    Grant::table(Table::Enrollments, &["dynamodb:GetItem", "dynamodb:PutItem"])
}

impl EnrollmentWriter {
    /// One enrolment, strongly consistent.
    pub async fn find(
        &self,
        user: &UserId,
        target: &Target,
    ) -> Result<Option<Enrollment>, PortError> {
        let item: Option<EnrollmentItem> =
            self.tables.get(Table::Enrollments, &partition(user), &sort(target)).await?;
        item.map(Enrollment::try_from).transpose()
    }

    /// Stores an enrolment; `Conflict` when somebody else wrote it in between.
    pub async fn store(
        &self,
        user: &UserId,
        enrollment: &Enrollment,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let item = EnrollmentItem::new(user, enrollment, trace_id);
        self.tables.put_version(Table::Enrollments, &item, enrollment.version).await
    }
}
