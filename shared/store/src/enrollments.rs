//! The table `enrollments`: under `user#{id}`, an item `enrollment#{kind}#{slug}` each; under
//! `places#{kind}#{slug}`, how many places are taken where their number is limited.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::enrollment::{Enrollment, Target};
use rollcall_domain::id::UserId;
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;
use crate::item::{Attributes, from_item, key, number};
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::{Applied, ItemUpdate};

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
    #[serde(default)]
    holds_place: bool,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
    /// By which import it was written, if its last write was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    import: Option<Slug>,
}

impl EnrollmentItem {
    pub(crate) fn new(user: &UserId, enrollment: &Enrollment, trace_id: &str) -> Self {
        let Enrollment { target, source, enrolled_at, withdrawn_at, .. } = enrollment.clone();
        let Enrollment { holds_place, version, updated_at, .. } = *enrollment;
        Self {
            pk: partition(user),
            sk: sort(&target),
            kind: target.kind.as_str().to_owned(),
            slug: target.slug,
            source,
            enrolled_at,
            withdrawn_at,
            holds_place,
            version,
            updated_at,
            trace_id: trace_id.to_owned(),
            import: None,
        }
    }

    /// The same, written by an import.
    pub(crate) fn of_import(self, import: Option<&Slug>) -> Self {
        Self { import: import.cloned(), ..self }
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
            holds_place: item.holds_place,
            version: item.version,
            updated_at: item.updated_at,
        })
    }
}

fn sort(target: &Target) -> String {
    format!("{PREFIX}{}#{}", target.kind, target.slug)
}

pub(crate) async fn all(tables: &Tables, user: &UserId) -> Result<Vec<Enrollment>, PortError> {
    let items: Vec<EnrollmentItem> =
        tables.query(Table::Enrollments, &partition(user), PREFIX, RECORDS_PER_USER_MAX).await?;
    items.into_iter().map(Enrollment::try_from).collect()
}

/// The removal of an enrolment as it was read, as a part of a transaction.
pub(crate) fn removal_part(
    tables: &Tables,
    user: &UserId,
    enrollment: &Enrollment,
) -> Result<TransactWriteItem, PortError> {
    let delete = Delete::builder()
        .table_name(tables.name(Table::Enrollments))
        .set_key(Some(key(&partition(user), &sort(&enrollment.target))))
        .condition_expression("version = :version")
        .expression_attribute_values(":version", number(enrollment.version));
    let delete = delete.build().map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// One place becomes free, as a part of a transaction.
pub(crate) fn place_freed_part(
    tables: &Tables,
    target: &Target,
) -> Result<TransactWriteItem, PortError> {
    let freed = places(target).set_to("taken", "#taken - :one").value("one", number(1));
    freed.into_part(tables.name(Table::Enrollments))
}

/// What the copy of an enrolment that holds a place takes with it, as a part of a transaction. People
/// keep their places even where there are fewer.
pub(crate) fn place_taken_part(
    tables: &Tables,
    item: &Attributes,
) -> Result<Option<TransactWriteItem>, PortError> {
    let enrollment = Enrollment::try_from(from_item::<EnrollmentItem>(item.clone())?)?;
    if !enrollment.holds_place {
        return Ok(None);
    }
    let taken = places(&enrollment.target)
        .set_to("taken", "if_not_exists(#taken, :none) + :one")
        .value("none", number(0))
        .value("one", number(1));
    taken.into_part(tables.name(Table::Enrollments)).map(Some)
}

/// How many places of a target are taken.
fn places(target: &Target) -> ItemUpdate {
    let Target { kind, slug } = target;
    ItemUpdate::of(&format!("places#{kind}#{slug}"), "places")
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

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Done,
    /// All places are taken.
    Full,
}

capability! {
    /// Enrols and withdraws.
    EnrollmentWriter,
    Grant::table(
        Table::Enrollments,
        &["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    )
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

    /// Stores an enrolment in place of `before`, and takes one of `capacity` places or frees one
    /// with it; `Conflict` when somebody else wrote the enrolment in between.
    pub async fn store(
        &self,
        user: &UserId,
        before: Option<&Enrollment>,
        enrollment: &Enrollment,
        capacity: u32,
        trace_id: &str,
    ) -> Result<Stored, PortError> {
        let item = EnrollmentItem::new(user, enrollment, trace_id);
        let version = enrollment.version;
        let held = before.is_some_and(|before| before.holds_place);
        if held == enrollment.holds_place {
            self.tables.put_version(Table::Enrollments, &item, version).await?;
            return Ok(Stored::Done);
        }
        let places = places(&enrollment.target);
        let places = if held {
            places.set_to("taken", "#taken - :one")
        } else {
            places
                .set_to("taken", "if_not_exists(#taken, :none) + :one")
                .only_if("attribute_not_exists(#taken) OR #taken < :capacity")
                .value("none", number(0))
                .value("capacity", number(capacity))
        };
        let places = places.value("one", number(1));
        let table = self.tables.name(Table::Enrollments);
        let parts = vec![
            self.tables.put_version_part(Table::Enrollments, &item, version)?,
            places.into_part(table)?,
        ];
        match self.tables.commit("store an enrolment", parts).await? {
            Applied::All => Ok(Stored::Done),
            Applied::Refused(1) => Ok(Stored::Full),
            Applied::Refused(_) => {
                let text = "the enrolment was written in between";
                Err(PortError::new("store an enrolment", PortErrorClass::Conflict, text))
            }
        }
    }
}
