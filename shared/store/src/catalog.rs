//! The table `catalog`: under `version#{version}`, the immutable items of one version of the
//! catalogue, and under `published`, the item `current` that says which version is the current one.
//!
//! A version is named by its content, so storing it twice is storing it once, and a version of any
//! size needs no transaction: its items are written first, then `seal`, which says that they are all
//! there, then the one conditional write of `current` makes it what readers see. Versions that were
//! once current stay, since attempts and completions name theirs.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use jiff::{SignedDuration, Timestamp};
use rollcall_domain::audit::Entry;
use rollcall_domain::catalog::{
    BadgeTerms, Catalog, CatalogVersion, Course, Edition, Module, Pathway, QuizName,
};
use rollcall_domain::limits::CATALOG_ITEMS_MAX;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::quiz::Quiz;
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::audit;
use crate::cache::{Bounds, Cache};
use crate::error::{corrupt, failed};
use crate::item::to_item;
use crate::tables::{Capability, Tables, capability};

const PUBLISHED: &str = "published";
const CURRENT: &str = "current";
pub(crate) const SEAL: &str = "seal";
/// What the sort keys of the structure begin with; what modules say and the quizzes are read apart.
const STRUCTURE: &str = "entry#";

/// How long an instance answers from the catalogue it read: the bound within which all instances
/// agree after a publication.
pub const CACHE_SECONDS: u32 = 30;

/// Items of one batch write (DynamoDB's own limit).
const BATCH_ITEMS_MAX: usize = 25;
/// How often the items that DynamoDB left unwritten are sent again.
const BATCH_TRIES_MAX: u32 = 8;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Pathway(Pathway),
    Course(Course),
    Module(Module),
    Text { module: Slug, text: String },
    Quiz { name: QuizName, quiz: Quiz },
    Badge(BadgeTerms),
}

impl Content {
    fn sort(&self) -> String {
        match self {
            Self::Pathway(entry) => format!("{STRUCTURE}pathway#{}", entry.slug),
            Self::Course(entry) => format!("{STRUCTURE}course#{}", entry.slug),
            Self::Module(entry) => format!("{STRUCTURE}module#{}", entry.slug),
            Self::Text { module, .. } => text_sort(module),
            Self::Quiz { name, .. } => quiz_sort(name),
            Self::Badge(entry) => format!("{STRUCTURE}badge#{}", entry.slug),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ContentItem {
    pk: String,
    sk: String,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
struct SealItem {
    pk: String,
    sk: String,
    items: usize,
    sealed_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct CurrentItem {
    pk: String,
    sk: String,
    catalog: CatalogVersion,
    version: u64,
    published_at: Timestamp,
}

/// The partition of the version of this name.
pub(crate) fn partition_named(version: &str) -> String {
    format!("version#{version}")
}

fn partition(version: &CatalogVersion) -> String {
    partition_named(version.as_str())
}

fn text_sort(module: &Slug) -> String {
    format!("text#{module}")
}

fn quiz_sort(name: &QuizName) -> String {
    format!("quiz#{}#{}", name.module, name.quiz)
}

fn contents(edition: &Edition) -> BTreeMap<String, Content> {
    let catalog = &edition.catalog;
    let texts = edition.texts.clone().into_iter();
    let quizzes = edition.quizzes.clone().into_iter();
    catalog
        .pathways()
        .cloned()
        .map(Content::Pathway)
        .chain(catalog.courses().cloned().map(Content::Course))
        .chain(catalog.modules().cloned().map(Content::Module))
        .chain(catalog.badges().cloned().map(Content::Badge))
        .chain(texts.map(|(module, text)| Content::Text { module, text }))
        .chain(quizzes.map(|(name, quiz)| Content::Quiz { name, quiz }))
        .map(|content| (content.sort(), content))
        .collect()
}

/// The version that an edition is published as: it names what would be stored.
pub fn version_of(edition: &Edition) -> Result<CatalogVersion, PortError> {
    address(&contents(edition))
}

/// SHA-256 over all items in order, each part behind its length.
fn address(contents: &BTreeMap<String, Content>) -> Result<CatalogVersion, PortError> {
    let mut digest = Sha256::new();
    for (sort, content) in contents {
        let text = serde_json::to_string(content).map_err(corrupt("encode the catalogue"))?;
        for part in [sort, &text] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    Ok(CatalogVersion::of_digest(&digest.finalize().into()))
}

/// What an instance keeps of the catalogue: enough for all that is read often, well within the memory
/// of a function.
const BOUNDS: Bounds =
    Bounds { entries_max: NonZeroUsize::MIN.saturating_add(999), bytes_max: 16 << 20 };

/// What is read of one version at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    version: CatalogVersion,
    /// None: the structure.
    sort: Option<String>,
}

#[derive(Debug)]
enum Kept {
    Structure(Arc<Catalog>),
    Content(Content),
}

impl Kept {
    /// About how many bytes it takes: its texts, and what an entry takes beside them.
    fn bytes(&self) -> usize {
        const ENTRY_BYTES: usize = 512;
        match self {
            Self::Structure(catalog) => {
                let pathways =
                    catalog.pathways().map(|entry| entry.title.len() + entry.summary.len());
                let courses =
                    catalog.courses().map(|entry| entry.title.len() + entry.summary.len());
                let modules =
                    catalog.modules().map(|entry| entry.title.len() + entry.summary.len());
                let badges = catalog.badges().map(|entry| entry.title.len() + entry.summary.len());
                let all = pathways.chain(courses).chain(modules).chain(badges);
                all.map(|texts| texts + ENTRY_BYTES).sum()
            }
            Self::Content(content) => {
                let text = serde_json::to_vec(content).map_or(usize::MAX, |text| text.len());
                text.saturating_add(ENTRY_BYTES)
            }
        }
    }
}

/// Which version an instance takes for the current one.
#[derive(Debug)]
struct Seen {
    version: CatalogVersion,
    at: Timestamp,
}

/// Reads the published catalogue through a cache in this instance. What a version says never
/// changes, so only which one is current has to be asked again.
#[derive(Clone, Debug)]
pub struct CatalogReader {
    tables: Arc<Tables>,
    seen: Arc<Mutex<Option<Seen>>>,
    cache: Arc<Cache<Part, Kept>>,
}

impl Capability for CatalogReader {
    const GRANTS: &'static [Grant] =
        &[Grant::table(Table::Catalog, &["dynamodb:GetItem", "dynamodb:Query"])];

    fn new(tables: &Arc<Tables>) -> Self {
        let cache = Arc::new(Cache::new(BOUNDS, Kept::bytes));
        Self { tables: Arc::clone(tables), seen: Arc::default(), cache }
    }
}

impl CatalogReader {
    /// The structure of the current version, at most [`CACHE_SECONDS`] old; empty before anything
    /// was published.
    pub async fn load(&self, now: Timestamp) -> Result<Arc<Catalog>, PortError> {
        let version = self.version(now).await?;
        self.at_version(&version).await
    }

    /// The structure of a version; empty if there is no such version.
    pub async fn at_version(&self, version: &CatalogVersion) -> Result<Arc<Catalog>, PortError> {
        let part = Part { version: version.clone(), sort: None };
        let read = Box::pin(async {
            let catalog = structure(&self.tables, version).await?;
            Ok(Some(Kept::Structure(Arc::new(catalog))))
        });
        match self.cache.get(&part, read).await?.as_deref() {
            Some(Kept::Structure(catalog)) => Ok(Arc::clone(catalog)),
            Some(Kept::Content(_)) | None => Ok(Arc::default()),
        }
    }

    /// Which version is the current one. When it goes on, what was kept of others is let go, since
    /// hardly anybody asks for it any more.
    async fn version(&self, now: Timestamp) -> Result<CatalogVersion, PortError> {
        let mut seen = self.seen.lock().await;
        let fresh = SignedDuration::from_secs(i64::from(CACHE_SECONDS));
        if let Some(seen) = seen.as_ref()
            && now.duration_since(seen.at) < fresh
        {
            return Ok(seen.version.clone());
        }
        let version = current(&self.tables).await?.map(|item| item.catalog).unwrap_or_default();
        if seen.as_ref().is_some_and(|seen| seen.version != version) {
            self.cache.keep_only(|part| part.version == version);
        }
        *seen = Some(Seen { version: version.clone(), at: now });
        Ok(version)
    }

    /// What a module says in a version, in Markdown.
    pub async fn text(
        &self,
        version: &CatalogVersion,
        module: &Slug,
    ) -> Result<Option<String>, PortError> {
        let kept = self.content(version, text_sort(module)).await?;
        match kept.as_deref() {
            Some(Kept::Content(Content::Text { text, .. })) => Ok(Some(text.clone())),
            Some(_) | None => Ok(None),
        }
    }

    /// A quiz of a version, with its keys.
    pub async fn quiz(
        &self,
        version: &CatalogVersion,
        name: &QuizName,
    ) -> Result<Option<Quiz>, PortError> {
        let kept = self.content(version, quiz_sort(name)).await?;
        match kept.as_deref() {
            Some(Kept::Content(Content::Quiz { quiz, .. })) => Ok(Some(quiz.clone())),
            Some(_) | None => Ok(None),
        }
    }

    async fn content(
        &self,
        version: &CatalogVersion,
        sort: String,
    ) -> Result<Option<Arc<Kept>>, PortError> {
        let part = Part { version: version.clone(), sort: Some(sort.clone()) };
        let read = Box::pin(async {
            let item: Option<ContentItem> =
                self.tables.get(Table::Catalog, &partition(version), &sort).await?;
            Ok(item.map(|item| Kept::Content(item.content)))
        });
        self.cache.get(&part, read).await
    }
}

async fn current(tables: &Tables) -> Result<Option<CurrentItem>, PortError> {
    tables.get(Table::Catalog, PUBLISHED, CURRENT).await
}

async fn structure(tables: &Tables, version: &CatalogVersion) -> Result<Catalog, PortError> {
    Ok(edition(tables, version, STRUCTURE).await?.catalog)
}

/// The parts of a version whose sort keys begin with `prefix`.
async fn edition(
    tables: &Tables,
    version: &CatalogVersion,
    prefix: &str,
) -> Result<Edition, PortError> {
    let pk = partition(version);
    let items: Vec<AnyItem> = tables.query(Table::Catalog, &pk, prefix, CATALOG_ITEMS_MAX).await?;
    let (mut pathways, mut courses, mut modules) = (Vec::new(), Vec::new(), Vec::new());
    let (mut badges, mut edition) = (Vec::new(), Edition::default());
    for content in items.into_iter().filter_map(|item| item.content) {
        match content {
            Content::Pathway(entry) => pathways.push(entry),
            Content::Course(entry) => courses.push(entry),
            Content::Module(entry) => modules.push(entry),
            Content::Badge(entry) => badges.push(entry),
            Content::Text { module, text } => {
                edition.texts.insert(module, text);
            }
            Content::Quiz { name, quiz } => {
                edition.quizzes.insert(name, quiz);
            }
        }
    }
    let catalog = Catalog::new(pathways, courses, modules);
    let catalog = catalog.and_then(|catalog| catalog.with_badges(badges));
    let catalog = catalog.map_err(corrupt("read the catalogue"))?;
    edition.catalog = catalog.published_as(version.clone());
    Ok(edition)
}

/// An item of a version: content, or the seal, which has none.
#[derive(Debug, Deserialize)]
struct AnyItem {
    content: Option<Content>,
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The version is the current one since now.
    Published(CatalogVersion),
    /// The version was the current one already.
    Unchanged(CatalogVersion),
}

capability! {
    /// Publishes catalogues.
    CatalogPublisher,
    Grant::table(
        Table::Catalog,
        &["dynamodb:BatchWriteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
    )
}

impl CatalogPublisher {
    /// The current version with everything in it; an empty edition before anything was published.
    pub async fn current(&self) -> Result<Edition, PortError> {
        whole(&self.tables).await
    }

    /// Makes an edition the current version; `Conflict` when somebody else published in between.
    ///
    /// A publication that breaks off leaves the current version as it is, and is done by publishing
    /// again.
    pub async fn publish(
        &self,
        edition: &Edition,
        now: Timestamp,
    ) -> Result<Publication, PortError> {
        publish(&self.tables, edition, now, None).await
    }
}

capability! {
    /// Publishes catalogues, and tells so in the audit log.
    CatalogEditor,
    Grant::table(
        Table::Catalog,
        &["dynamodb:BatchWriteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
    ),
    audit::APPEND,
}

impl CatalogEditor {
    /// The current version with everything in it; an empty edition before anything was published.
    pub async fn current(&self) -> Result<Edition, PortError> {
        whole(&self.tables).await
    }

    /// As [`CatalogPublisher::publish`], with the entry in the same transaction.
    pub async fn publish(
        &self,
        edition: &Edition,
        entry: &Entry,
    ) -> Result<Publication, PortError> {
        publish(&self.tables, edition, entry.at, Some(entry)).await
    }
}

async fn whole(tables: &Tables) -> Result<Edition, PortError> {
    match current(tables).await? {
        Some(item) => edition(tables, &item.catalog, "").await,
        None => Ok(Edition::default()),
    }
}

async fn publish(
    tables: &Tables,
    edition: &Edition,
    now: Timestamp,
    entry: Option<&Entry>,
) -> Result<Publication, PortError> {
    let contents = contents(edition);
    let catalog = address(&contents)?;
    let before = current(tables).await?;
    if before.as_ref().is_some_and(|item| item.catalog == catalog) {
        return Ok(Publication::Unchanged(catalog));
    }
    store(tables, &catalog, contents, now).await?;
    let version = before.map_or(0, |item| item.version) + 1;
    let (pk, sk) = (PUBLISHED.to_owned(), CURRENT.to_owned());
    let item = CurrentItem { pk, sk, catalog: catalog.clone(), version, published_at: now };
    let mut parts = vec![tables.put_version_part(Table::Catalog, &item, version)?];
    if let Some(entry) = entry {
        parts.push(audit::part(tables, entry)?);
    }
    tables.transact("publish the catalogue", parts).await?;
    Ok(Publication::Published(catalog))
}

async fn store(
    tables: &Tables,
    version: &CatalogVersion,
    contents: BTreeMap<String, Content>,
    now: Timestamp,
) -> Result<(), PortError> {
    let pk = partition(version);
    let seal: Option<SealItem> = tables.get(Table::Catalog, &pk, SEAL).await?;
    if seal.is_some() {
        return Ok(());
    }
    let items = contents.len();
    let mut requests = Vec::with_capacity(items);
    for (sk, content) in contents {
        requests.push(put(&ContentItem { pk: pk.clone(), sk, content })?);
    }
    for batch in requests.chunks(BATCH_ITEMS_MAX) {
        write(tables, batch.to_vec()).await?;
    }
    let seal = SealItem { pk, sk: SEAL.to_owned(), items, sealed_at: now };
    write(tables, vec![put(&seal)?]).await
}

async fn write(tables: &Tables, mut batch: Vec<WriteRequest>) -> Result<(), PortError> {
    let table = tables.name(Table::Catalog);
    for _try in 0..BATCH_TRIES_MAX {
        let write = tables.client.batch_write_item().request_items(&table, batch);
        let answer = write.send().await.map_err(failed("publish the catalogue"))?;
        batch = answer.unprocessed_items.unwrap_or_default().remove(&table).unwrap_or_default();
        if batch.is_empty() {
            return Ok(());
        }
    }
    let text = "DynamoDB left entries unwritten; publish again";
    Err(PortError::new("publish the catalogue", PortErrorClass::Throttled, text))
}

fn put<T: Serialize>(item: &T) -> Result<WriteRequest, PortError> {
    let put = PutRequest::builder().set_item(Some(to_item(item)?)).build();
    let put = put.map_err(corrupt("build a batch"))?;
    Ok(WriteRequest::builder().put_request(put).build())
}
