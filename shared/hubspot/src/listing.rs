//! Contacts as HubSpot shows them: page by page, and those that are asked for. Never by search, which
//! lags behind and has a limit of its own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_crm::limits::RECONCILE_PAGE_MAX;
use rollcall_crm::port::{Address, CallOutcome, Crm, KeyKind, Reply};
use rollcall_crm::reconcile::compare::ContactView;
use rollcall_crm::reconcile::work::{ContactLister, ContactPage, ContactsRead};
use rollcall_crm::schema::{Origin, SCHEMA};
use rollcall_crm::turns::Asked;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::answer::{Success, errors_but_missing};
use crate::contacts::HubSpotCrm;
use crate::wire::{BatchAnswer, BatchResult, ContactRead, Inputs};

/// Ids of the contacts that were merged into one, with `;` between them.
const MERGED: &str = "hs_merged_object_ids";

/// What is read of a contact.
fn properties() -> Vec<&'static str> {
    SCHEMA.properties.iter().map(|property| property.name).chain([MERGED]).collect()
}

#[async_trait]
impl ContactLister for HubSpotCrm {
    fn key_kind(&self) -> KeyKind {
        self.capabilities().key_kind
    }

    async fn renew(&self) -> bool {
        self.renew_credentials().await
    }

    async fn page(&self, after: Option<&str>, trace_id: &str) -> Asked<ContactPage> {
        let url = format!("{}?{}", self.urls.objects, page_query(after));
        let (list, quota) = self.list::<BatchResult>(&url, trace_id).await?;
        let contacts = list.results.into_iter().filter_map(view).collect();
        Ok((ContactPage { contacts, next: list.paging.next.after }, quota))
    }

    async fn read(&self, addresses: &[Address], trace_id: &str) -> Asked<ContactsRead> {
        let url = format!("{}/batch/read", self.urls.objects);
        let body = ContactRead::whole(addresses, properties());
        let success = self.call::<BatchAnswer>(url, &body, trace_id).await;
        let Success { body, quota } = success.map_err(|reply| *reply)?;
        if body.results.is_empty() && body.errors.is_empty() {
            return Err(Reply { outcome: CallOutcome::Unknown, quota });
        }
        let is_complete = errors_but_missing(&body).next().is_none();
        let contacts = body.results.into_iter().filter_map(view).collect();
        Ok((ContactsRead { contacts, is_complete }, quota))
    }

    async fn release(&self, contacts: &[String], trace_id: &str) -> Asked<()> {
        let url = format!("{}/batch/update", self.urls.objects);
        let ours = SCHEMA.properties.iter().filter(|property| property.origin == Origin::Ours);
        let cleared: BTreeMap<&str, &str> = ours.map(|property| (property.name, "")).collect();
        let body = Inputs::cleared(contacts, &cleared);
        let success = self.call::<BatchAnswer>(url, &body, trace_id).await;
        let Success { body, quota } = success.map_err(|reply| *reply)?;
        if body.results.is_empty() && body.errors.is_empty() {
            return Err(Reply { outcome: CallOutcome::Unknown, quota });
        }
        match errors_but_missing(&body).next() {
            Some(failure) => Err(Reply { outcome: CallOutcome::Refused(failure), quota }),
            None => Ok(((), quota)),
        }
    }
}

fn page_query(after: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &RECONCILE_PAGE_MAX.to_string());
    query.append_pair("properties", &properties().join(","));
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    query.finish()
}

/// A contact with the properties that have a value; `None` for what has no id.
fn view(result: BatchResult) -> Option<ContactView> {
    let BatchResult { id, properties, .. } = result;
    if id.is_empty() {
        return None;
    }
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) if !text.is_empty() => Some((name, text)),
        _ => None,
    };
    let mut properties: BTreeMap<String, String> =
        properties.into_iter().filter_map(text).collect();
    let merged = properties.remove(MERGED).unwrap_or_default();
    let merged = merged.split(';').filter(|id| !id.is_empty()).map(ToOwned::to_owned).collect();
    Some(ContactView { id, properties, merged })
}
