//! What operators see of dead letters and do about them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem};
use rollcall_crm::dead_letter::Status;
use rollcall_crm::desk::{About, Canary, Discarded, Edit, Edited, Filed, Filter, Kind, LetterPage};
use rollcall_crm::limits::{LETTER_READINGS_MAX, LETTERS_READ_MAX};
use rollcall_crm::milestone::MilestoneRow;
use rollcall_crm::pending::Mark;
use rollcall_domain::audit::Entry;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::{CRM_LETTERS, EXPIRES_AT, PARTITION_KEY};
use serde::Deserialize;

use super::dead_letters::{
    DiscardedItem, EditedItem, LETTER, LetterItem, PREFIX, expiry, letter, letter_key,
};
use super::ledger::{EditItem, LEDGER, edit_name};
use super::{CrmTable, milestones, named, pending, sortable, user_key};
use crate::audit;
use crate::error::{corrupt, failed};
use crate::item::{Attributes, from_item, key, number, text, to_value};
use crate::update::{Applied, ItemUpdate};

const LIST: &str = "list dead letters";
const CANARY: &str = "canary";

/// Behind which letter a page begins; without one, at the first of its status. It grants nothing:
/// whoever makes one up begins somewhere else in the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterPosition {
    status: Status,
    behind: Option<(Timestamp, DeadLetterId)>,
}

/// A text that is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a position in this list")]
pub struct InvalidPosition;

impl fmt::Display for LetterPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.status.as_str())?;
        match &self.behind {
            None => Ok(()),
            Some((at, id)) => write!(formatter, ".{}.{id}", at.as_millisecond()),
        }
    }
}

impl FromStr for LetterPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut words = text.split('.');
        let status = words.next().unwrap_or_default();
        let status = named(&Status::ALL, Status::as_str, status);
        let status = status.map_err(|_unknown| InvalidPosition)?;
        let behind = match (words.next(), words.next(), words.next()) {
            (None, None, None) => None,
            (Some(milliseconds), Some(id), None) => {
                let milliseconds = milliseconds.parse().map_err(|_error| InvalidPosition)?;
                let at = Timestamp::from_millisecond(milliseconds);
                let at = at.map_err(|_error| InvalidPosition)?;
                Some((at, id.parse().map_err(|_error| InvalidPosition)?))
            }
            _ => return Err(InvalidPosition),
        };
        Ok(Self { status, behind })
    }
}

impl LetterPosition {
    fn behind(letter: &Filed) -> Self {
        Self { status: letter.status, behind: Some((letter.last_seen_at, letter.id.clone())) }
    }

    fn start_key(&self) -> Option<Attributes> {
        let (at, id) = self.behind.as_ref()?;
        let mut start = key(&letter_key(id), LETTER);
        start.insert(CRM_LETTERS.partition_key.to_owned(), text(self.status.as_str()));
        start.insert(CRM_LETTERS.sort_key.to_owned(), text(sortable(*at)));
        Some(start)
    }

    /// Where a reading of letters of `status` ended.
    fn of_key(status: Status, last: &Attributes) -> Option<Self> {
        let read = |name: &str| last.get(name).and_then(|value| value.as_s().ok());
        let at = read(CRM_LETTERS.sort_key)?.parse().ok()?;
        let id = read(PARTITION_KEY)?.strip_prefix(PREFIX)?.parse().ok()?;
        Some(Self { status, behind: Some((at, id)) })
    }
}

/// The condition on the sort key and on the rest of a letter that `filter` stands for.
struct Conditions {
    key: String,
    filter: Option<String>,
    names: HashMap<String, String>,
    values: Attributes,
}

impl Conditions {
    fn new(filter: &Filter, status: Status) -> Self {
        let mut conditions = Self {
            key: "#status = :status".to_owned(),
            filter: None,
            names: [("#status".to_owned(), CRM_LETTERS.partition_key.to_owned())].into(),
            values: [(":status".to_owned(), text(status.as_str()))].into(),
        };
        // DynamoDB takes one condition on a sort key. BETWEEN includes its end, which is a moment that no
        // letter sorts at: milliseconds are followed by `Z`.
        let (since, before) = (filter.since.map(sortable), filter.before.map(sortable));
        let before = before.map(|before| before.replace('Z', ""));
        let condition = match (&since, &before) {
            (None, None) => "",
            (Some(_), None) => " AND #at >= :since",
            (None, Some(_)) => " AND #at < :before",
            (Some(_), Some(_)) => " AND #at BETWEEN :since AND :before",
        };
        conditions.key.push_str(condition);
        for (name, bound) in [(":since", since), (":before", before)] {
            if let Some(bound) = bound {
                conditions.names.insert("#at".to_owned(), CRM_LETTERS.sort_key.to_owned());
                conditions.values.insert(name.to_owned(), text(bound));
            }
        }
        let parts = [
            ("kind", filter.kind.map(Kind::as_str)),
            ("fingerprint", filter.fingerprint.as_deref()),
            ("facet", filter.facet.map(Facet::as_str)),
            ("user_id", filter.user.as_ref().map(UserId::as_str)),
        ];
        for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let part = format!("#{name} = :{name}");
            conditions.filter = Some(match conditions.filter.take() {
                None => part,
                Some(filter) => format!("{filter} AND {part}"),
            });
            conditions.names.insert(format!("#{name}"), name.to_owned());
            conditions.values.insert(format!(":{name}"), text(value));
        }
        conditions
    }
}

/// What an operator's repetition of a change comes with.
#[derive(Clone, Copy, Debug)]
pub enum Replay<'replay> {
    /// Nothing.
    Plain,
    /// Replacements, and the note about them.
    Edited(&'replay Edit, &'replay Edited),
    /// It is the canary of its cause, in place of another one if there was one.
    Canary(Option<&'replay DeadLetterId>),
}

#[derive(Debug, Deserialize)]
struct CanaryItem {
    letter: DeadLetterId,
    at: Timestamp,
}

fn canary_key(fingerprint: &str) -> String {
    format!("canary#{fingerprint}")
}

impl CrmTable {
    /// Letters that `filter` picks, at most `letters_max`, behind a position that an earlier page of
    /// the same filter named. A page may hold fewer, or none, and yet name a position.
    pub async fn letters(
        &self,
        filter: &Filter,
        position: Option<&str>,
        letters_max: usize,
    ) -> Result<LetterPage, PortError> {
        let statuses = filter.statuses();
        let position = position.map(str::parse::<LetterPosition>).transpose();
        let position =
            position.map_err(|error| PortError::new(LIST, PortErrorClass::Rejected, error))?;
        let first = position.as_ref().map_or(0, |position| {
            statuses.iter().position(|status| *status == position.status).unwrap_or_default()
        });
        let mut rest = statuses.into_iter().skip(first);
        let Some(mut status) = rest.next() else { return Ok(LetterPage::default()) };
        let mut start = position.as_ref().and_then(LetterPosition::start_key);
        let mut letters: Vec<Filed> = Vec::new();
        for _reading in 0..LETTER_READINGS_MAX {
            let (more, last) = self.letters_of(filter, status, start).await?;
            letters.extend(more);
            if letters.len() > letters_max {
                letters.truncate(letters_max);
                let position = letters.last().map(|last| LetterPosition::behind(last).to_string());
                return Ok(LetterPage { letters, position });
            }
            start = last;
            if start.is_none() {
                match rest.next() {
                    Some(next) => status = next,
                    None => return Ok(LetterPage { letters, position: None }),
                }
            }
        }
        let behind = start.and_then(|last| LetterPosition::of_key(status, &last));
        let position = behind.unwrap_or(LetterPosition { status, behind: None });
        Ok(LetterPage { letters, position: Some(position.to_string()) })
    }

    /// One reading of letters of one status, and where it ended if there is more.
    async fn letters_of(
        &self,
        filter: &Filter,
        status: Status,
        start: Option<Attributes>,
    ) -> Result<(Vec<Filed>, Option<Attributes>), PortError> {
        let Conditions { key, filter, names, values } = Conditions::new(filter, status);
        let answer = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_LETTERS.name)
            .key_condition_expression(key)
            .set_filter_expression(filter)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(false)
            .limit(i32::try_from(LETTERS_READ_MAX).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed(LIST))?;
        let items = answer.items.unwrap_or_default().into_iter();
        let letters = items.map(|item| from_item::<LetterItem>(item).and_then(Filed::try_from));
        Ok((letters.collect::<Result<_, _>>()?, answer.last_evaluated_key))
    }

    /// One letter.
    pub async fn letter(&self, id: &DeadLetterId) -> Result<Option<Filed>, PortError> {
        let item: Option<LetterItem> = self.tables.get(Table::Crm, &letter_key(id), LETTER).await?;
        item.map(Filed::try_from).transpose()
    }

    /// Marks an open letter about a change as replaying, and its facet as pending and forced or its
    /// milestone as one that waits, and writes what `replay` comes with and the audit entry that
    /// tells of it, all or nothing. `false`: the letter is not open, or the canary is another one by
    /// now, or the contact has to leave the CRM and nothing can be edited.
    pub async fn replay(
        &self,
        open: &Filed,
        mark: &Mark,
        replay: Replay<'_>,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let About::Change { user, facet, milestone } = &open.about else { return Ok(false) };
        let mut replaying = letter(&open.id)
            .filed_as(Status::Replaying)
            .value("open", text(Status::Open.as_str()))
            .only_if("#letter_status = :open");
        let waiting = match milestone {
            None => pending::marked(mark).set("forced", AttributeValue::Bool(true)),
            Some(milestone) => milestones::kept(&MilestoneRow::new(milestone.clone(), mark.now)),
        };
        let more = match replay {
            Replay::Plain => None,
            Replay::Edited(edit, note) => {
                let Edited { by, at, properties } = note.clone();
                replaying = replaying.set("edited", to_value(&EditedItem { by, at, properties })?);
                let edited = ItemUpdate::of(&user_key(user), LEDGER)
                    .set(&edit_name(*facet), to_value(&EditItem::from(edit))?)
                    .name("removal")
                    .only_if("attribute_not_exists(#removal)");
                Some(edited)
            }
            Replay::Canary(before) => Some(canary(&open.cause.fingerprint, open, before, mark.now)),
        };
        let crm = self.tables.name(Table::Crm);
        let mut parts = vec![replaying.into_part(crm.clone())?, waiting.into_part(crm.clone())?];
        parts.extend(more.map(|update| update.into_part(crm)).transpose()?);
        parts.push(audit::part(&self.tables, entry)?);
        let applied = self.tables.commit("replay a dead letter", parts).await?;
        Ok(applied == Applied::All)
    }

    /// Takes an open letter off the desk for good, with the note why. What was refused stays refused
    /// until it changes. `false`: the letter is not open, or its user is being sent about now.
    pub async fn discard(
        &self,
        open: &Filed,
        note: &Discarded,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let Discarded { by, at, reason } = note.clone();
        let discarded = letter(&open.id)
            .filed_as(Status::Discarded)
            .set("discarded", to_value(&DiscardedItem { by, at, reason })?)
            .value("open", text(Status::Open.as_str()))
            .only_if("#letter_status = :open");
        let crm = self.tables.name(Table::Crm);
        let mut parts = Vec::new();
        match &open.about {
            // The ledger names it until the facet changes, so it must not expire before.
            About::Change { milestone: None, .. } => parts.push(discarded.into_part(crm)?),
            // The ledger names only so many of them.
            About::Change { user, milestone: Some(milestone), .. } => {
                let discarded = discarded.set(EXPIRES_AT, expiry(note.at));
                parts.push(discarded.into_part(crm.clone())?);
                let forgotten = ItemUpdate::of(&user_key(user), LEDGER)
                    .remove_entry("milestones_refused", &milestone.id)
                    .name("lease_token")
                    .name("lease_until")
                    .value("now", number(note.at.as_millisecond()))
                    .only_if(
                        "attribute_exists(#milestones_refused.#entry) AND \
                         (attribute_not_exists(#lease_token) OR #lease_until < :now)",
                    );
                parts.push(forgotten.into_part(crm)?);
            }
            About::Message(_) => {
                let discarded = discarded.set(EXPIRES_AT, expiry(note.at)).remove("body");
                parts.push(discarded.into_part(crm)?);
            }
        }
        parts.push(audit::part(&self.tables, entry)?);
        let applied = self.tables.commit("discard a dead letter", parts).await?;
        Ok(applied == Applied::All)
    }

    /// The canary of a cause, if one was sent ahead.
    pub async fn canary(&self, fingerprint: &str) -> Result<Option<Canary>, PortError> {
        let pk = canary_key(fingerprint);
        let item: Option<CanaryItem> = self.tables.get(Table::Crm, &pk, CANARY).await?;
        Ok(item.map(|CanaryItem { letter, at }| Canary { letter, at }))
    }

    /// Forgets the canary of a cause, unless it is another one by now.
    pub async fn forget_canary(&self, fingerprint: &str, canary: &Canary) -> Result<(), PortError> {
        let delete = Delete::builder()
            .table_name(self.tables.name(Table::Crm))
            .set_key(Some(key(&canary_key(fingerprint), CANARY)))
            .condition_expression("#letter = :letter")
            .expression_attribute_names("#letter", "letter")
            .expression_attribute_values(":letter", text(canary.letter.as_str()));
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        let part = TransactWriteItem::builder().delete(delete).build();
        // Refused is that somebody began anew.
        self.tables.commit("forget a canary", vec![part]).await?;
        Ok(())
    }
}

fn canary(
    fingerprint: &str,
    open: &Filed,
    before: Option<&DeadLetterId>,
    now: Timestamp,
) -> ItemUpdate {
    let update = ItemUpdate::of(&canary_key(fingerprint), CANARY)
        .set("letter", text(open.id.as_str()))
        .set("at", text(now.to_string()));
    match before {
        None => update.only_if("attribute_not_exists(#letter)"),
        Some(before) => update.value("before", text(before.as_str())).only_if("#letter = :before"),
    }
}
