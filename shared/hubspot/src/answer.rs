//! What an answer means. Whenever it leaves doubt about whether something was written, so does the
//! outcome.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use rollcall_crm::classifier::{Failure, ITEM};
use rollcall_crm::port::{Address, CallOutcome, Input, ItemResult, Owners, Reply};
use rollcall_crm::portal::Quota;
use rollcall_crm::schema;
use rollcall_domain::time::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::text;
use crate::wire::{BatchAnswer, ErrorAnswer};

/// Digits of a contact's id.
const CONTACT_ID_DIGITS_MAX: usize = 20;
/// Category of what was there before.
const ALREADY_EXISTS: &str = "OBJECT_ALREADY_EXISTS";
/// Category of what is not there.
const NOT_FOUND: &str = "OBJECT_NOT_FOUND";

/// How far a call came.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// Nothing left us.
    NotSent,
    /// Something may have left us, and not even a status came back.
    Unanswered,
    /// There is an answer.
    Answered(Answer),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `None`: it broke off or was too long.
    pub(crate) body: Option<Vec<u8>>,
}

/// The body of a call that succeeded, and what it told about limits.
#[derive(Debug)]
pub(crate) struct Success<T> {
    pub(crate) body: T,
    pub(crate) quota: Quota,
}

impl Exchange {
    /// The body of a success; every other way in which a call can end is the same for all calls.
    pub(crate) fn success<T: DeserializeOwned>(self) -> Result<Success<T>, Box<Reply>> {
        let quota = self.quota();
        let outcome = match self {
            Self::NotSent => CallOutcome::NotSent,
            Self::Unanswered => CallOutcome::Unknown,
            Self::Answered(answer) if answer.status.is_success() => match answer.json() {
                Some(body) => return Ok(Success { body, quota }),
                None => CallOutcome::Unknown,
            },
            Self::Answered(answer) if answer.is_a_gateways() => CallOutcome::Unknown,
            Self::Answered(answer) => CallOutcome::Refused(answer.failure()),
        };
        Err(Box::new(Reply { outcome, quota }))
    }

    /// What became of a call whose success has nothing to tell (RFC 9110 §15.3.5). Any other success
    /// was not HubSpot's.
    pub(crate) fn done(self) -> Reply {
        let quota = self.quota();
        match self {
            Self::Answered(answer) if answer.status == StatusCode::NO_CONTENT => {
                Reply { outcome: CallOutcome::Answered(BTreeMap::new()), quota }
            }
            Self::Answered(answer) if answer.status.is_success() => {
                Reply { outcome: CallOutcome::Unknown, quota }
            }
            Self::NotSent | Self::Unanswered | Self::Answered(_) => match self.success::<Value>() {
                Err(reply) => *reply,
                Ok(_) => Reply { outcome: CallOutcome::Unknown, quota },
            },
        }
    }

    fn quota(&self) -> Quota {
        match self {
            Self::Answered(answer) => answer.quota(),
            Self::NotSent | Self::Unanswered => Quota::default(),
        }
    }
}

impl Answer {
    /// An answer that is nothing but a status.
    pub(crate) fn bare(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: None }
    }

    /// Whether a gateway says that it passed the call on and did not hear the end of it (RFC 9110
    /// §15.6.3 and §15.6.5, and two codes of HubSpot's proxy): HubSpot may still be writing, so this
    /// is no refusal.
    fn is_a_gateways(&self) -> bool {
        matches!(self.status.as_u16(), 502 | 504 | 520 | 524)
    }

    fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    fn header<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.headers.get(name)?.to_str().ok()?.trim().parse().ok()
    }

    /// HubSpot's usage headers (<https://developers.hubspot.com/docs/api/usage-details>). The
    /// `Secondly` pair is still sent and no longer means anything.
    fn quota(&self) -> Quota {
        let max = self.header("x-hubspot-ratelimit-max");
        let daily = self.header("x-hubspot-ratelimit-daily");
        Quota {
            limit: max.zip(self.header("x-hubspot-ratelimit-interval-milliseconds")),
            remaining: self.header("x-hubspot-ratelimit-remaining"),
            daily: daily.zip(self.header("x-hubspot-ratelimit-daily-remaining")),
        }
    }

    fn failure(&self) -> Failure {
        let seconds: Option<u32> = self.header(RETRY_AFTER.as_str());
        let error: ErrorAnswer = self.json().unwrap_or_default();
        Failure {
            retry_after: seconds.map(|seconds| SignedDuration::from_secs(seconds.into())),
            ..failure(self.status.as_u16(), &error)
        }
    }
}

fn failure(status: u16, error: &ErrorAnswer) -> Failure {
    let codes = || error.errors.iter().map(|detail| detail.code.as_str());
    let category = [error.category.as_str()]
        .into_iter()
        .chain(codes())
        .chain([error.error_type.as_str()])
        .find(|text| !text.is_empty());
    let reasons = [error.sub_category.as_str()].into_iter().chain(codes());
    Failure {
        status,
        category: text::code(category.unwrap_or_default()),
        message: text::message(&error.message, reasons),
        policy: text::code(&error.policy_name),
        retry_after: None,
    }
}

/// What became of each input, by trace id alone: results come in any order, and an error that names
/// nobody says nothing about anybody. An answer that says nothing about any input is none: HubSpot
/// has been seen to answer so when nothing was written.
pub(crate) fn written(inputs: &[Input], answer: &BatchAnswer) -> CallOutcome {
    let ours: BTreeSet<&str> = inputs.iter().map(|input| input.user.as_str()).collect();
    let mut results = BTreeMap::new();
    for result in &answer.results {
        let trace_id = result.object_write_trace_id.as_str();
        if ours.contains(trace_id) && is_contact_id(&result.id) {
            let written = ItemResult::Written { contact_id: result.id.clone() };
            results.insert(trace_id.to_owned(), written);
        }
    }
    // After the results: if both name an input, sending it again does no harm.
    for error in &answer.errors {
        for trace_id in error.trace_ids().filter(|trace_id| ours.contains(trace_id)) {
            results.insert(trace_id.to_owned(), ItemResult::Failed(failure(ITEM, error)));
        }
    }
    if results.is_empty() { CallOutcome::Unknown } else { CallOutcome::Answered(results) }
}

fn is_contact_id(text: &str) -> bool {
    (1..=CONTACT_ID_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether all of `count` properties are there now.
pub(crate) fn properties_declared(count: usize, answer: &BatchAnswer) -> CallOutcome {
    let failures: Vec<Failure> = answer.errors.iter().map(|error| failure(ITEM, error)).collect();
    let accounted_for = answer.results.len() + failures.len();
    match failures.into_iter().find(|failure| !already_exists(failure)) {
        Some(failure) => CallOutcome::Refused(failure),
        None if accounted_for >= count => CallOutcome::Answered(BTreeMap::new()),
        None => CallOutcome::Unknown,
    }
}

/// Whether something was refused only because it is there.
pub(crate) fn already_exists(failure: &Failure) -> bool {
    failure.status == StatusCode::CONFLICT.as_u16() || failure.category == ALREADY_EXISTS
}

/// Whether something was refused only because it is not there.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    failure.status == StatusCode::NOT_FOUND.as_u16() || failure.category == NOT_FOUND
}

/// Whose the contacts are that were asked for. A contact of which the answer does not show our key may
/// be somebody's, so it is not among those found; nor is one that an old id led to after a merge.
/// `None`: nothing was answered.
pub(crate) fn owners(addresses: &[Address], answer: &BatchAnswer) -> Option<Owners> {
    if answer.results.is_empty() && answer.errors.is_empty() {
        return None;
    }
    let asked_for = answer.results.iter().filter(|result| {
        addresses.iter().any(|address| match address {
            Address::ContactId(id) => *id == result.id,
            Address::UserId(_) | Address::Email(_) => is_contact_id(&result.id),
        })
    });
    let mut owners = Owners { found: BTreeMap::new(), is_complete: true };
    for result in asked_for {
        let owner = match result.properties.get(schema::USER_ID) {
            Some(Value::Null) => None,
            Some(Value::String(owner)) => Some(owner.clone()).filter(|owner| !owner.is_empty()),
            Some(_) | None => {
                owners.is_complete = false;
                continue;
            }
        };
        owners.found.insert(result.id.clone(), owner);
    }
    let missing = answer.errors.iter().map(|error| failure(ITEM, error));
    owners.is_complete &= missing.into_iter().all(|failure| is_missing(&failure));
    Some(owners)
}

/// The errors of an answer that say something else than that a contact is not there.
pub(crate) fn errors_but_missing(answer: &BatchAnswer) -> impl Iterator<Item = Failure> {
    let failures = answer.errors.iter().map(|error| failure(ITEM, error));
    failures.filter(|failure| !is_missing(failure))
}

/// Whether the contact that was asked for is there; `None` when the answer does not say.
pub(crate) fn exists(answer: &BatchAnswer) -> Option<bool> {
    match (answer.results.as_slice(), answer.errors.as_slice()) {
        ([_, ..], _) => Some(true),
        ([], [error, ..]) if error.category == NOT_FOUND => Some(false),
        ([], _) => None,
    }
}

#[cfg(test)]
mod tests;
