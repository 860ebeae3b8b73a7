//! What a portal has of definitions: property groups, properties of contacts, custom events.

use std::collections::BTreeSet;

use async_trait::async_trait;
use reqwest::StatusCode;
use rollcall_crm::port::CallOutcome;
use rollcall_crm::schema_desk::{Definitions, EventsPage};
use rollcall_crm::schema_plan::PortalProperty;
use rollcall_crm::turns::Asked;
use serde::de::DeserializeOwned;

use crate::answer::Success;
use crate::contacts::HubSpotCrm;
use crate::wire::{DefinedEvent, DefinedGroup, DefinedProperty, ListAnswer};

/// Event definitions on one page.
const EVENTS_ON_PAGE: usize = 100;

#[async_trait]
impl Definitions for HubSpotCrm {
    async fn groups(&self, trace_id: &str) -> Asked<BTreeSet<String>> {
        let url = format!("{}/groups", self.urls.properties);
        let (list, quota) = self.list::<DefinedGroup>(&url, trace_id).await?;
        Ok((list.results.into_iter().map(|group| group.name).collect(), quota))
    }

    async fn properties(&self, trace_id: &str) -> Asked<Vec<PortalProperty>> {
        let (list, quota) = self.list::<DefinedProperty>(&self.urls.properties, trace_id).await?;
        let property = |found: DefinedProperty| PortalProperty {
            name: found.name,
            label: found.label,
            stored_as: found.kind,
            unique: found.has_unique_value,
            group: found.group_name,
        };
        Ok((list.results.into_iter().map(property).collect(), quota))
    }

    async fn events(&self, after: Option<&str>, trace_id: &str) -> Asked<Option<EventsPage>> {
        let mut url = format!("{}/event-definitions?limit={EVENTS_ON_PAGE}", self.urls.events);
        if let Some(after) = after {
            url.push_str("&after=");
            url.extend(url::form_urlencoded::byte_serialize(after.as_bytes()));
        }
        match self.list::<DefinedEvent>(&url, trace_id).await {
            Ok((list, quota)) => {
                let names =
                    list.results.into_iter().map(|event| own_name(event.fully_qualified_name));
                Ok((
                    Some(EventsPage { names: names.collect(), next: list.paging.next.after }),
                    quota,
                ))
            }
            Err(reply) if has_no_events(&reply.outcome) => Ok((None, reply.quota)),
            Err(reply) => Err(reply),
        }
    }
}

impl HubSpotCrm {
    /// A page of a list.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        url: &str,
        trace_id: &str,
    ) -> Asked<ListAnswer<T>> {
        let success = self.http.get(url, trace_id).await.success::<ListAnswer<T>>();
        let Success { body, quota } = success.map_err(|reply| *reply)?;
        Ok((body, quota))
    }
}

/// `pe1234_joined` without `pe1234_`.
fn own_name(full: String) -> String {
    match full.split_once('_') {
        Some((portal, name)) if portal.starts_with("pe") => name.to_owned(),
        Some(_) | None => full,
    }
}

fn has_no_events(outcome: &CallOutcome) -> bool {
    let missing = [StatusCode::FORBIDDEN.as_u16(), StatusCode::NOT_FOUND.as_u16()];
    matches!(outcome, CallOutcome::Refused(failure) if missing.contains(&failure.status))
}
