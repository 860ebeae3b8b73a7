//! The table `catalog`: under `published`, an item `{kind}#{slug}` per entry.

use std::sync::Arc;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use jiff::{SignedDuration, Timestamp};
use rollcall_domain::catalog::{Catalog, Course, Module, Pathway};
use rollcall_domain::limits::CATALOG_ENTRIES_MAX;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::slug::Slug;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::error::{corrupt, failed};
use crate::item::to_item;
use crate::tables::{Capability, Tables, capability};

const PUBLISHED: &str = "published";

/// How long an instance answers from the catalogue it read: the bound within which all instances
/// agree after a publication.
pub const CACHE_SECONDS: u32 = 30;

/// Items of one batch write (DynamoDB's own limit).
const BATCH_ITEMS_MAX: usize = 25;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry {
    Pathway { slug: Slug, title: String, summary: String, courses: Vec<Slug> },
    Course { slug: Slug, title: String, summary: String, modules: Vec<Slug> },
    Module { slug: Slug, title: String, summary: String, estimated_minutes: u32 },
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryItem {
    pk: String,
    sk: String,
    updated_at: Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Debug)]
struct Cached {
    read_at: Timestamp,
    catalog: Arc<Catalog>,
}

/// Reads the published catalogue, through a cache in this instance.
#[derive(Clone, Debug)]
pub struct CatalogReader {
    tables: Arc<Tables>,
    cache: Arc<Mutex<Option<Cached>>>,
}

impl Capability for CatalogReader {
    const GRANTS: &'static [Grant] = &[Grant::table(Table::Catalog, &["dynamodb:Query"])];

    fn new(tables: &Arc<Tables>) -> Self {
        Self { tables: Arc::clone(tables), cache: Arc::default() }
    }
}

impl CatalogReader {
    /// The published catalogue, at most [`CACHE_SECONDS`] old.
    pub async fn load(&self, now: Timestamp) -> Result<Arc<Catalog>, PortError> {
        let mut cache = self.cache.lock().await;
        if let Some(cached) = cache.as_ref()
            && now.duration_since(cached.read_at)
                < SignedDuration::from_secs(i64::from(CACHE_SECONDS))
        {
            return Ok(Arc::clone(&cached.catalog));
        }
        let catalog = Arc::new(read(&self.tables).await?);
        *cache = Some(Cached { read_at: now, catalog: Arc::clone(&catalog) });
        Ok(catalog)
    }
}

async fn read(tables: &Tables) -> Result<Catalog, PortError> {
    let items: Vec<EntryItem> =
        tables.query(Table::Catalog, PUBLISHED, "", CATALOG_ENTRIES_MAX).await?;
    let (mut pathways, mut courses, mut modules) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match item.entry {
            Entry::Pathway { slug, title, summary, courses } => {
                pathways.push(Pathway { slug, title, summary, courses });
            }
            Entry::Course { slug, title, summary, modules } => {
                courses.push(Course { slug, title, summary, modules });
            }
            Entry::Module { slug, title, summary, estimated_minutes } => {
                modules.push(Module { slug, title, summary, estimated_minutes });
            }
        }
    }
    Catalog::new(pathways, courses, modules).map_err(corrupt("read the catalogue"))
}

capability! {
    /// Publishes the catalogue.
    CatalogPublisher, Grant::table(Table::Catalog, &["dynamodb:BatchWriteItem"])
}

impl CatalogPublisher {
    /// Stores every entry of the catalogue; the same catalogue again changes nothing.
    pub async fn publish(&self, catalog: &Catalog, now: Timestamp) -> Result<(), PortError> {
        let pathways = catalog.pathways().cloned().map(|entry| Entry::Pathway {
            slug: entry.slug,
            title: entry.title,
            summary: entry.summary,
            courses: entry.courses,
        });
        let courses = catalog.courses().cloned().map(|entry| Entry::Course {
            slug: entry.slug,
            title: entry.title,
            summary: entry.summary,
            modules: entry.modules,
        });
        let modules = catalog.modules().cloned().map(|entry| Entry::Module {
            slug: entry.slug,
            title: entry.title,
            summary: entry.summary,
            estimated_minutes: entry.estimated_minutes,
        });
        let entries: Vec<Entry> = pathways.chain(courses).chain(modules).collect();
        let requests: Vec<WriteRequest> =
            entries.into_iter().map(|entry| request(entry, now)).collect::<Result<_, _>>()?;
        for batch in requests.chunks(BATCH_ITEMS_MAX) {
            let table = self.tables.name(Table::Catalog);
            let write = self.tables.client.batch_write_item().request_items(table, batch.to_vec());
            let answer = write.send().await.map_err(failed("publish the catalogue"))?;
            if answer.unprocessed_items.is_some_and(|items| !items.is_empty()) {
                let text = "DynamoDB left entries unwritten; publish again";
                let class = PortErrorClass::Throttled;
                return Err(PortError::new("publish the catalogue", class, text));
            }
        }
        Ok(())
    }
}

fn request(entry: Entry, now: Timestamp) -> Result<WriteRequest, PortError> {
    let sk = match &entry {
        Entry::Pathway { slug, .. } => format!("pathway#{slug}"),
        Entry::Course { slug, .. } => format!("course#{slug}"),
        Entry::Module { slug, .. } => format!("module#{slug}"),
    };
    let item = EntryItem { pk: PUBLISHED.to_owned(), sk, updated_at: now, entry };
    let put = PutRequest::builder().set_item(Some(to_item(&item)?)).build();
    let put = put.map_err(corrupt("build a batch"))?;
    Ok(WriteRequest::builder().put_request(put).build())
}
