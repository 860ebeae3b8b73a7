//! The table `certificates`: under `user#{id}`, an item `certificate#{kind}#{slug}` per certificate,
//! so that there is one, whoever awards how often. The index `certificate` finds it for those who know its id
//! alone. Under `status#{list}` there is an item `taken#{index}` for each place of a status list that
//! a certificate has, and `revoked#{index}` for each that counts no more; they name nobody and stay
//! when somebody is erased. Under `status`, the item `current` says which list is being filled.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use rollcall_domain::audit::Entry;
use rollcall_domain::catalog::CatalogVersion;
use rollcall_domain::certificate::{
    Certificate, CertificateKind, CertificateName, Earned, HolderName, Revocation, StatusPlace,
};
use rollcall_domain::id::{CertificateId, UserId};
use rollcall_domain::limits::RECORDS_PER_USER_MAX;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::Timestamp;
use rollcall_resources::table::CERTIFICATES_ID;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;
use crate::item::{Attributes, Order, PageQuery, from_item, key, number};
use crate::personal::partition;
use crate::tables::{Tables, capability};
use crate::update::Applied;
use crate::{audit, users};

const PREFIX: &str = "certificate#";
const STATUS: &str = "status";
const CURRENT: &str = "current";
const REVOKED: &str = "revoked#";
/// What says where a certificate stands in the status lists.
pub(crate) const PLACE: [&str; 2] = ["status_list", "status_index"];

/// Places that are drawn in one list before the next one is begun: when all of them are taken the
/// list is more than half full.
const DRAWS_MAX: u32 = 16;
/// Lists that one award tries: the current one, and the one after it.
const LISTS_MAX: u32 = 2;
/// Places that the index may name for one certificate: where a merge has moved it, and where it was.
const PLACES_MAX: usize = 2;
/// How often the index is asked while nothing is where it says.
const FIND_TRIES_MAX: u32 = 3;
/// Certificates of one person: as many as there are modules, courses and pathways that one can have
/// records of.
const CERTIFICATES_MAX: usize = 3 * RECORDS_PER_USER_MAX;

#[derive(Debug, Serialize, Deserialize)]
struct CertificateItem {
    pk: String,
    sk: String,
    certificate_id: CertificateId,
    kind: String,
    slug: Slug,
    title: String,
    summary: String,
    catalog: CatalogVersion,
    evidence: Vec<Slug>,
    earned_at: Timestamp,
    awarded_at: Timestamp,
    status_list: u32,
    status_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_name: Option<String>,
    #[serde(default)]
    holder_is_shown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_because: Option<String>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// A write: when, and the id that the change carries to the CRM.
pub type Written<'write> = (Timestamp, &'write str);

impl CertificateItem {
    fn new(user: &UserId, certificate: &Certificate, (now, trace_id): Written<'_>) -> Self {
        let Certificate { id, earned, title, summary, awarded_at, place, .. } = certificate.clone();
        let Earned { name, catalog, evidence, earned_at } = earned;
        let (revoked_at, revoked_because) =
            certificate.revocation.clone().map(|revoked| (revoked.at, revoked.reason)).unzip();
        let holder = certificate.holder.as_ref();
        Self {
            pk: partition(user),
            sk: sort(&name),
            certificate_id: id,
            kind: name.kind.as_str().to_owned(),
            slug: name.slug,
            title,
            summary,
            catalog,
            evidence,
            earned_at,
            awarded_at,
            status_list: place.list,
            status_index: place.index,
            holder_name: holder.map(|holder| holder.text.clone()),
            holder_is_shown: holder.is_some_and(|holder| holder.is_shown),
            revoked_at,
            revoked_because,
            version: certificate.version,
            updated_at: now,
            trace_id: trace_id.to_owned(),
        }
    }
}

impl TryFrom<CertificateItem> for Certificate {
    type Error = PortError;

    fn try_from(item: CertificateItem) -> Result<Self, PortError> {
        let kind = CertificateKind::named(&item.kind).ok_or("no such kind of certificate");
        let kind = kind.map_err(corrupt("decode a certificate"))?;
        let is_shown = item.holder_is_shown;
        let revocation = item
            .revoked_at
            .map(|at| Revocation { at, reason: item.revoked_because.unwrap_or_default() });
        Ok(Self {
            id: item.certificate_id,
            earned: Earned {
                name: CertificateName { kind, slug: item.slug },
                catalog: item.catalog,
                evidence: item.evidence,
                earned_at: item.earned_at,
            },
            title: item.title,
            summary: item.summary,
            awarded_at: item.awarded_at,
            place: StatusPlace { list: item.status_list, index: item.status_index },
            holder: item.holder_name.map(|text| HolderName { text, is_shown }),
            revocation,
            version: item.version,
        })
    }
}

/// A certificate, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub user: UserId,
    /// What.
    pub certificate: Certificate,
}

fn sort(name: &CertificateName) -> String {
    format!("{PREFIX}{}#{}", name.kind, name.slug)
}

fn list_partition(list: u32) -> String {
    format!("{STATUS}#{list}")
}

/// All certificates of a user, strongly consistent, by name.
pub(crate) async fn all(tables: &Tables, user: &UserId) -> Result<Vec<Certificate>, PortError> {
    let items: Vec<CertificateItem> =
        tables.query(Table::Certificates, &partition(user), PREFIX, CERTIFICATES_MAX).await?;
    items.into_iter().map(Certificate::try_from).collect()
}

#[derive(Debug, Deserialize)]
struct Keys {
    pk: String,
    sk: String,
}

/// A certificate by its id: the index says where it is, and the item itself, strongly consistent,
/// what it says now. The index is a moment behind a merge that moves certificates, and may name both
/// places, or the old one alone.
async fn find(tables: &Tables, id: &CertificateId) -> Result<Option<Held>, PortError> {
    for _try in 0..FIND_TRIES_MAX {
        let page = PageQuery {
            table: Table::Certificates,
            index: Some(CERTIFICATES_ID),
            partition: id.as_str(),
            prefix: "",
            order: Order::Ascending,
            start: None,
            items_max: PLACES_MAX,
        };
        let (found, _): (Vec<Keys>, bool) = tables.page("find a certificate", page).await?;
        if found.is_empty() {
            return Ok(None);
        }
        for Keys { pk, sk } in found {
            let user = pk.strip_prefix("user#").and_then(|user| user.parse().ok());
            let user =
                user.ok_or("no user's certificate").map_err(corrupt("find a certificate"))?;
            let item: Option<CertificateItem> = tables.get(Table::Certificates, &pk, &sk).await?;
            if let Some(item) = item {
                return Ok(Some(Held { user, certificate: item.try_into()? }));
            }
        }
    }
    Ok(None)
}

const FIND: &[&str] = &["dynamodb:GetItem"];

capability! {
    /// Lists certificates.
    CertificateLister, Grant::table(Table::Certificates, &["dynamodb:Query"])
}

impl CertificateLister {
    /// All certificates of a user, strongly consistent, by name.
    pub async fn all(&self, user: &UserId) -> Result<Vec<Certificate>, PortError> {
        all(&self.tables, user).await
    }
}

#[derive(Debug, Default, Deserialize)]
struct CurrentItem {
    list: u32,
}

/// The list that is being filled.
async fn current(tables: &Tables) -> Result<u32, PortError> {
    let current: Option<CurrentItem> = tables.get(Table::Certificates, STATUS, CURRENT).await?;
    Ok(current.map_or(1, |current| current.list))
}

capability! {
    /// Awards certificates.
    CertificateAwarder,
    Grant::table(
        Table::Certificates,
        &["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
    ),
    Grant::table(Table::Users, &["dynamodb:ConditionCheckItem"]),
}

impl CertificateAwarder {
    /// What a user has certificates for, strongly consistent.
    pub async fn awarded(&self, user: &UserId) -> Result<BTreeSet<CertificateName>, PortError> {
        let all = all(&self.tables, user).await?;
        Ok(all.into_iter().map(|certificate| certificate.earned.name).collect())
    }

    /// Awards a certificate that `at` makes for a place in a status list; `None` when the user has
    /// one for the same, or is no user any more: whoever is being erased or was merged into another
    /// gets none. Certificate and place are stored together or not at all, so whoever is told of a
    /// certificate finds it (fault C7).
    pub async fn award(
        &self,
        user: &UserId,
        at: impl Fn(StatusPlace) -> Certificate,
        random: &dyn Random,
        written: Written<'_>,
    ) -> Result<Option<Certificate>, PortError> {
        let first = current(&self.tables).await?;
        for list in first..first.saturating_add(LISTS_MAX) {
            for _draw in 0..DRAWS_MAX {
                let certificate = at(StatusPlace::draw(list, random));
                match self.put(user, &certificate, written).await? {
                    Applied::All => return Ok(Some(certificate)),
                    Applied::Refused(2) => {}
                    Applied::Refused(_) => return Ok(None),
                }
            }
            go_on_from(&self.tables, list).await?;
        }
        let text = "no place in a status list was free";
        Err(PortError::new("award a certificate", PortErrorClass::Throttled, text))
    }

    async fn put(
        &self,
        user: &UserId,
        certificate: &Certificate,
        written: Written<'_>,
    ) -> Result<Applied, PortError> {
        let item = CertificateItem::new(user, certificate, written);
        let parts = vec![
            self.tables.put_version_part(Table::Certificates, &item, 1)?,
            users::in_use_part(&self.tables, user)?,
            taken_part(&self.tables, certificate.place)?,
        ];
        self.tables.commit("award a certificate", parts).await
    }
}

/// A place in a status list becomes one certificate's, if it is nobody's.
fn taken_part(tables: &Tables, place: StatusPlace) -> Result<TransactWriteItem, PortError> {
    let (pk, sk) = taken_key(place);
    let taken = Put::builder()
        .table_name(tables.name(Table::Certificates))
        .set_item(Some(key(&pk, &sk)))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().put(taken).build())
}

fn taken_key(StatusPlace { list, index }: StatusPlace) -> (String, String) {
    (list_partition(list), format!("taken#{index}"))
}

/// The list after `list` is the current one, unless it is already.
async fn go_on_from(tables: &Tables, list: u32) -> Result<(), PortError> {
    let next = number(list.saturating_add(1));
    let mut item = key(STATUS, CURRENT);
    item.insert("list".to_owned(), next.clone());
    let put = Put::builder()
        .table_name(tables.name(Table::Certificates))
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk) OR #list < :next")
        .expression_attribute_names("#list", "list")
        .expression_attribute_values(":next", next)
        .build()
        .map_err(corrupt("build a transaction"))?;
    let parts = vec![TransactWriteItem::builder().put(put).build()];
    tables.commit("begin a status list", parts).await.map(drop)
}

/// Stores the copy of a certificate of another stage at a place of its own in a status list of this one,
/// and there that it is revoked, if it is; `false`, and nothing is stored, when its holder has one for the
/// same.
pub(crate) async fn put_copied(
    tables: &Tables,
    item: &Attributes,
    random: &dyn Random,
) -> Result<bool, PortError> {
    let operation = "copy a certificate";
    let copied: CertificateItem = from_item(item.clone())?;
    let revoked_at = copied.revoked_at;
    let first = current(tables).await?;
    for list in first..first.saturating_add(LISTS_MAX) {
        for _draw in 0..DRAWS_MAX {
            let place = StatusPlace::draw(list, random);
            let mut placed = item.clone();
            for (attribute, value) in PLACE.into_iter().zip([place.list, place.index]) {
                placed.insert(attribute.to_owned(), number(value));
            }
            let put = Put::builder()
                .table_name(tables.name(Table::Certificates))
                .set_item(Some(placed))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(corrupt("build a transaction"))?;
            let put = TransactWriteItem::builder().put(put).build();
            let mut parts = vec![put, taken_part(tables, place)?];
            if let Some(revoked_at) = revoked_at {
                parts.push(revoked_part(tables, place, revoked_at)?);
            }
            match tables.commit(operation, parts).await? {
                Applied::All => return Ok(true),
                Applied::Refused(0) => return Ok(false),
                Applied::Refused(_) => {}
            }
        }
        go_on_from(tables, list).await?;
    }
    let text = "no place in a status list was free";
    Err(PortError::new(operation, PortErrorClass::Throttled, text))
}

/// Whether a stored certificate has its place in a status list, and is revoked there if it is.
pub(crate) async fn is_placed(tables: &Tables, item: &Attributes) -> Result<bool, PortError> {
    let stored: CertificateItem = from_item(item.clone())?;
    let place = StatusPlace { list: stored.status_list, index: stored.status_index };
    let (pk, sk) = taken_key(place);
    let taken: Option<Keys> = tables.get(Table::Certificates, &pk, &sk).await?;
    let revoked = revoked_sort(place.index);
    let revoked: Option<Keys> = tables.get(Table::Certificates, &pk, &revoked).await?;
    Ok(taken.is_some() && revoked.is_some() == stored.revoked_at.is_some())
}

fn revoked_sort(index: u32) -> String {
    format!("{REVOKED}{index}")
}

capability! {
    /// Finds certificates by their ids, as the public may see them.
    CertificateFinder,
    Grant::table(Table::Certificates, FIND),
    Grant::table(Table::Users, FIND),
    Grant::index(Table::Certificates, CERTIFICATES_ID.name),
}

impl CertificateFinder {
    /// The certificate of this id, strongly consistent but for one that was awarded a moment ago. It
    /// names nobody who is suspended or asked to be erased: they are not to be seen by others.
    pub async fn find(&self, id: &CertificateId) -> Result<Option<Certificate>, PortError> {
        let Some(Held { user, certificate }) = find(&self.tables, id).await? else {
            return Ok(None);
        };
        if certificate.shown_name().is_none() {
            return Ok(Some(certificate));
        }
        let holder = users::find(&self.tables, &user).await?;
        let is_shown = holder.is_some_and(|holder| holder.standing.is_shown());
        Ok(Some(if is_shown { certificate } else { Certificate { holder: None, ..certificate } }))
    }
}

capability! {
    /// Changes whether certificates show a name.
    CertificateNamer,
    Grant::table(Table::Certificates, FIND),
    Grant::table(Table::Certificates, &["dynamodb:PutItem"]),
    Grant::index(Table::Certificates, CERTIFICATES_ID.name),
}

impl CertificateNamer {
    /// The certificate of this id, strongly consistent but for one that was awarded a moment ago.
    pub async fn find(&self, id: &CertificateId) -> Result<Option<Held>, PortError> {
        find(&self.tables, id).await
    }

    /// Stores what became of a certificate; `Conflict` when it changed in between.
    pub async fn store(&self, held: &Held, written: Written<'_>) -> Result<(), PortError> {
        let item = CertificateItem::new(&held.user, &held.certificate, written);
        self.tables.put_version(Table::Certificates, &item, held.certificate.version).await
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct RevokedItem {
    pk: String,
    sk: String,
    index: u32,
    revoked_at: Timestamp,
}

/// That a place of a status list counts no more, as a part of a transaction.
fn revoked_part(
    tables: &Tables,
    StatusPlace { list, index }: StatusPlace,
    revoked_at: Timestamp,
) -> Result<TransactWriteItem, PortError> {
    let (pk, sk) = (list_partition(list), revoked_sort(index));
    let revoked = RevokedItem { pk, sk, index, revoked_at };
    tables.put_part(Table::Certificates, &revoked)
}

/// What is written where a certificate goes since its holder has another for the same, as a part of a
/// transaction: its place counts no more, unless it was revoked before. Copies of it that were handed
/// out could never be revoked again otherwise.
pub(crate) fn dropped_part(
    tables: &Tables,
    item: &Attributes,
    now: Timestamp,
) -> Result<Option<TransactWriteItem>, PortError> {
    let item: CertificateItem = from_item(item.clone())?;
    if item.revoked_at.is_some() {
        return Ok(None);
    }
    let place = StatusPlace { list: item.status_list, index: item.status_index };
    revoked_part(tables, place, now).map(Some)
}

capability! {
    /// Revokes certificates.
    CertificateRevoker,
    Grant::table(Table::Certificates, FIND),
    Grant::table(Table::Certificates, &["dynamodb:PutItem"]),
    Grant::index(Table::Certificates, CERTIFICATES_ID.name),
    audit::APPEND,
}

impl CertificateRevoker {
    /// The certificate of this id, strongly consistent but for one that was awarded a moment ago.
    pub async fn find(&self, id: &CertificateId) -> Result<Option<Held>, PortError> {
        find(&self.tables, id).await
    }

    /// Stores that a certificate is revoked, in its status list as well, and tells the audit log;
    /// `Conflict` when it changed in between.
    pub async fn revoke(
        &self,
        held: &Held,
        entry: &Entry,
        written: Written<'_>,
    ) -> Result<(), PortError> {
        let tables = &self.tables;
        let item = CertificateItem::new(&held.user, &held.certificate, written);
        let parts = vec![
            tables.put_version_part(Table::Certificates, &item, held.certificate.version)?,
            revoked_part(tables, held.certificate.place, entry.at)?,
            audit::part(tables, entry)?,
        ];
        tables.transact("revoke a certificate", parts).await
    }
}

/// What a status list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusList {
    /// The places that are revoked.
    pub revoked: BTreeSet<u32>,
    /// When the last of them was; `None` before there is one.
    pub changed_at: Option<Timestamp>,
}

capability! {
    /// Reads status lists.
    StatusListReader, Grant::table(Table::Certificates, &["dynamodb:GetItem", "dynamodb:Query"])
}

impl StatusListReader {
    /// A status list, strongly consistent; `None` when it was not begun.
    pub async fn find(&self, list: u32) -> Result<Option<StatusList>, PortError> {
        if list == 0 || list > current(&self.tables).await? {
            return Ok(None);
        }
        let revoked_max = usize::try_from(StatusPlace::BITS).unwrap_or(usize::MAX);
        let partition = list_partition(list);
        let items: Vec<RevokedItem> =
            self.tables.query(Table::Certificates, &partition, REVOKED, revoked_max).await?;
        Ok(Some(StatusList {
            revoked: items.iter().map(|item| item.index).collect(),
            changed_at: items.iter().map(|item| item.revoked_at).max(),
        }))
    }
}
