//! Idempotency keys in the table `edge`: a user's under `user#{id}` / `idempotency#{hash of the key}`,
//! so that what was answered goes with the user, a machine's under `idempotency#{hash}` / `idempotency`.
//! Keys and requests are stored as hashes; an answer is stored as it was given, for a day.

use jiff::Timestamp;
use rollcall_domain::idempotency::{
    IdempotencyKey, KEPT_SECONDS, KeptAnswer, Payload, Progress, Record,
};
use rollcall_domain::port::PortError;
use rollcall_domain::time::after_seconds;
use rollcall_resources::table::EXPIRES_AT;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::item::{number, text, to_value};
use crate::personal::partition;
use crate::tables::capability;
use crate::update::ItemUpdate;

const IDEMPOTENCY: &str = "idempotency";

#[derive(Debug, Deserialize)]
struct RecordItem {
    payload: String,
    held_until_ms: i64,
    kept_until_ms: i64,
    answer: Option<AnswerItem>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerItem {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl From<RecordItem> for Record {
    fn from(item: RecordItem) -> Self {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MIN);
        Self {
            payload: Payload::stored(item.payload),
            kept_until: at(item.kept_until_ms),
            progress: match item.answer {
                None => Progress::Held(at(item.held_until_ms)),
                Some(AnswerItem { status, headers, body }) => {
                    Progress::Answered(KeptAnswer { status, headers, body })
                }
            },
        }
    }
}

/// Who holds a key, and until when at the latest.
#[derive(Clone, Debug)]
pub struct Hold<'hold> {
    /// The key.
    pub key: &'hold IdempotencyKey,
    /// The request's own id, so that nobody else's hold is taken for this one.
    pub holder: &'hold str,
    /// When the holder is certainly gone.
    pub until: Timestamp,
}

capability! {
    /// Holds keys and keeps answers.
    IdempotencyKeys, Grant::table(Table::Edge, &["dynamodb:GetItem", "dynamodb:UpdateItem"])
}

impl IdempotencyKeys {
    /// Takes a key for a request, if nobody else holds it, it has no answer, and it does not belong
    /// to another request. Whether it was taken.
    pub async fn begin(
        &self,
        hold: &Hold<'_>,
        payload: &Payload,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let kept_until = after_seconds(now, KEPT_SECONDS);
        let begin = update(hold.key)
            .set("payload", text(payload.as_str()))
            .set("holder", text(hold.holder))
            .set("held_until_ms", number(hold.until.as_millisecond()))
            .set("kept_until_ms", number(kept_until.as_millisecond()))
            .set(EXPIRES_AT, number(kept_until.as_second()))
            .remove("answer")
            .value("now", number(now.as_millisecond()))
            .only_if(
                "attribute_not_exists(#payload) OR #kept_until_ms <= :now OR \
                 (attribute_not_exists(#answer) AND #payload = :payload AND #held_until_ms <= :now)",
            );
        let applied = self.tables.apply("take an idempotency key", Table::Edge, begin).await?;
        Ok(applied.is_some())
    }

    /// What is stored under a key, strongly consistent.
    pub async fn find(&self, key: &IdempotencyKey) -> Result<Option<Record>, PortError> {
        let (pk, sk) = item_key(key);
        let item: Option<RecordItem> = self.tables.get(Table::Edge, &pk, &sk).await?;
        Ok(item.map(Record::from))
    }

    /// Keeps the answer; `false` when somebody else took the key meanwhile.
    pub async fn keep(&self, hold: &Hold<'_>, answer: &KeptAnswer) -> Result<bool, PortError> {
        let KeptAnswer { status, headers, body } = answer.clone();
        let keep = update(hold.key).set("answer", to_value(&AnswerItem { status, headers, body })?);
        self.apply_held(hold, keep).await
    }

    /// Gives the key back without an answer, so that the same request may be tried again at once.
    pub async fn release(&self, hold: &Hold<'_>) -> Result<bool, PortError> {
        self.apply_held(hold, update(hold.key).set("held_until_ms", number(0))).await
    }

    async fn apply_held(&self, hold: &Hold<'_>, update: ItemUpdate) -> Result<bool, PortError> {
        let update =
            update.name("holder").value("holder", text(hold.holder)).only_if("#holder = :holder");
        let applied = self.tables.apply("settle an idempotency key", Table::Edge, update).await?;
        Ok(applied.is_some())
    }
}

fn item_key(key: &IdempotencyKey) -> (String, String) {
    let named = format!("{IDEMPOTENCY}#{}", key.as_str());
    match key.user() {
        Some(user) => (partition(user), named),
        None => (named, IDEMPOTENCY.to_owned()),
    }
}

fn update(key: &IdempotencyKey) -> ItemUpdate {
    let (pk, sk) = item_key(key);
    ItemUpdate::of(&pk, &sk)
}
