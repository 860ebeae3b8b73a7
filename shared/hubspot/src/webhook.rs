//! HubSpot's webhooks: whether HubSpot sent one, and what it says.
//!
//! <https://developers.hubspot.com/docs/api/webhooks/validating-requests>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rollcall_crm::inbound::{Author, Happened, MERGED_MAX, NOTICES_MAX, Notice};
use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use serde::Deserialize;
use sha2::Sha256;

/// How far the time of a request may be from ours, on either side.
pub const SIGNATURE_AGE_MS_MAX: i64 = 5 * 60 * 1_000;

/// Parts of a URL that HubSpot signs decoded.
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// A request to our webhook, as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'request> {
    /// The method, upper-case.
    pub method: &'request str,
    /// The URL under which HubSpot calls us, as it is entered there.
    pub url: &'request str,
    /// The body, byte for byte.
    pub body: &'request [u8],
    /// `X-HubSpot-Request-Timestamp`: milliseconds since the epoch.
    pub timestamp: &'request str,
    /// `X-HubSpot-Signature-v3`: Base64 of an HMAC-SHA-256.
    pub signature: &'request str,
}

impl SignedRequest<'_> {
    /// Whether the request says that it was sent within the last minutes or, by a clock that is ahead of
    /// ours, within the next.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let sent_ms = self.timestamp.parse::<i64>().ok();
        let age_ms = sent_ms.and_then(|sent_ms| now.as_millisecond().checked_sub(sent_ms));
        age_ms.and_then(i64::checked_abs).is_some_and(|age_ms| age_ms <= SIGNATURE_AGE_MS_MAX)
    }

    /// Whether somebody who knows `secret`, the app's client secret, signed it. The comparison takes
    /// constant time.
    pub fn is_signed_with(&self, secret: &Secret) -> bool {
        let Ok(signature) = STANDARD.decode(self.signature) else {
            return false;
        };
        // Secrets that were stored from a file often end in a line break.
        let mac = Hmac::<Sha256>::new_from_slice(secret.expose().trim().as_bytes());
        let Ok(mut mac) = mac else {
            return false;
        };
        mac.update(self.method.as_bytes());
        mac.update(signed_url(self.url).as_bytes());
        mac.update(self.body);
        mac.update(self.timestamp.as_bytes());
        mac.verify_slice(&signature).is_ok()
    }
}

fn signed_url(url: &str) -> String {
    DECODED.iter().fold(url.to_owned(), |url, (encoded, plain)| {
        url.replace(encoded, plain).replace(&encoded.to_lowercase(), plain)
    })
}

/// A body that is not a list of events.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvents {
    /// It is no JSON, or an event lacks what names it.
    #[error("the body is not a list of events")]
    Shape(#[source] serde_json::Error),
    /// It holds more events than HubSpot ever sends.
    #[error("the body holds {0} events")]
    TooMany(usize),
}

/// An event as HubSpot sends it; what depends on its type may be lacking in any.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "eventId")]
    id: Id,
    subscription_id: Id,
    portal_id: Id,
    app_id: Option<Id>,
    occurred_at: i64,
    #[serde(alias = "eventType")]
    subscription_type: String,
    object_type_id: Option<String>,
    object_id: Option<Id>,
    change_source: Option<String>,
    source_id: Option<String>,
    property_name: Option<String>,
    primary_object_id: Option<Id>,
    #[serde(default)]
    merged_object_ids: Vec<Id>,
    new_object_id: Option<Id>,
}

/// An id, which HubSpot writes as a number or as a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        match id {
            Id::Number(number) => number.to_string(),
            Id::Text(text) => text,
        }
    }
}

/// The notices in a body, each with its author; `None` for events about nothing that matters to us.
pub fn notices(body: &[u8], app_id: &str) -> Result<Vec<Option<(Notice, Author)>>, InvalidEvents> {
    let events: Vec<Event> = serde_json::from_slice(body).map_err(InvalidEvents::Shape)?;
    if events.len() > NOTICES_MAX {
        return Err(InvalidEvents::TooMany(events.len()));
    }
    Ok(events.into_iter().map(|event| event.notice(app_id)).collect())
}

impl Event {
    fn notice(self, app_id: &str) -> Option<(Notice, Author)> {
        let at = Timestamp::from_millisecond(self.occurred_at).ok()?;
        let author = self.author(app_id);
        let parts = [&self.portal_id, &self.subscription_id, &self.id];
        let id = parts.map(|part| String::from(part.clone())).join("-");
        Some((Notice { id, at, happened: self.happened()? }, author))
    }

    /// Changes through the API name the app that made them. Where none is named it is taken for ours:
    /// what is missed by that is found when the portal is compared.
    fn author(&self, app_id: &str) -> Author {
        let by_app = self.change_source.as_deref() == Some("INTEGRATION");
        let app = self.source_id.clone().or_else(|| self.app_id.clone().map(String::from));
        let ours = app.is_none_or(|app| app.rsplit(':').next() == Some(app_id));
        if by_app && ours { Author::Us } else { Author::Other }
    }

    fn happened(self) -> Option<Happened> {
        let (object, what) = self.subscription_type.split_once('.')?;
        let is_contact = match object {
            "contact" => true,
            "object" => self.object_type_id.as_deref() == Some("0-1"),
            _ => false,
        };
        if !is_contact {
            return None;
        }
        let contact = self.object_id.map(String::from);
        match what {
            "privacyDeletion" => Some(Happened::Erased { contact: contact? }),
            "deletion" => Some(Happened::Archived { contact: contact? }),
            "restore" => Some(Happened::Restored { contact: contact? }),
            "propertyChange" => {
                Some(Happened::Changed { contact: contact?, property: self.property_name? })
            }
            "merge" => {
                let primary = self.primary_object_id.map(String::from).or(contact)?;
                let merged = self.merged_object_ids.into_iter().map(String::from);
                let merged = merged.filter(|id| *id != primary).take(MERGED_MAX).collect();
                let survivor = self.new_object_id.map_or_else(|| primary.clone(), String::from);
                Some(Happened::Merged { primary, merged, survivor })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
