//! What a test or a developer may do to the account from outside HubSpot's own API.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Token;
use crate::calls::Call;
use crate::faults::{Fault, Plan};
use crate::portal::{Context, Portal};
use crate::records::{Record, Source};
use crate::settings::Settings;
use crate::standard::{OBJECT_TYPES, ObjectType, object_type};
use crate::wire::{Refusal, Request};
use crate::write::Properties;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    #[serde(default = "contacts")]
    object_type: String,
    id: String,
    #[serde(default)]
    properties: Properties,
    #[serde(default)]
    archived: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    #[serde(default = "contacts")]
    object_type: String,
    primary_id: String,
    merged_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    id: String,
}

fn contacts() -> String {
    "contacts".to_owned()
}

fn kind_named(name: &str) -> Result<&'static ObjectType, Refusal> {
    object_type(name).ok_or_else(|| Refusal::invalid(format!("There are no {name}")))
}

impl Portal {
    /// `/_emulator/{control}` except the clock, which belongs to the whole local cloud. `initial`
    /// are the settings that a reset returns to.
    pub(crate) fn control(
        &mut self,
        request: &Request,
        initial: &Settings,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let control = request.path.trim_start_matches("/_emulator/");
        match (request.method.as_str(), control) {
            ("POST", "reset") => {
                let (base_url, tokens) = (self.base_url.clone(), self.tokens.clone());
                let webhooks = std::mem::take(&mut self.webhooks);
                let oauth = std::mem::take(&mut self.oauth);
                *self = Self::new(initial.clone(), base_url, tokens, None);
                self.webhooks = webhooks.reset();
                self.oauth = oauth;
            }
            ("POST", "portal") => self.change_settings(request.json()?)?,
            ("POST", "lag") => {
                #[derive(Deserialize)]
                struct Lag {
                    ms: u64,
                }
                let Lag { ms } = request.json()?;
                self.change_settings(Map::from_iter([("search_lag_ms".to_owned(), json!(ms))]))?;
            }
            ("POST", "tier") => {
                let mut change: Map<String, Value> = request.json()?;
                // A new tier brings its own limits unless they are given too.
                for limit in ["burst_limit", "daily_limit"] {
                    change.entry(limit).or_insert(Value::Null);
                }
                self.change_settings(change)?;
            }
            ("POST", "faults") => {
                let fault = Fault::parse(&request.json()?).map_err(Refusal::invalid)?;
                self.faults.add(fault);
            }
            ("DELETE", "faults") => self.faults.clear(),
            ("POST", "edit") => return self.edit(&request.json()?, now),
            ("POST", "merge") => {
                let merge: Merge = request.json()?;
                let kind = kind_named(&merge.object_type)?;
                let ids = (merge.primary_id.as_str(), merge.merged_id.as_str());
                self.holding(kind).table.begin();
                let record = self.merge(kind, ids, now, Source::CrmUi)?;
                let changes = self.holding(kind).table.take_changes();
                if kind.is_contact() {
                    self.tell_changes(changes, Source::CrmUi, now);
                }
                self.tell_merged(kind, ids, &record, (Source::CrmUi, now));
                return Ok(json!({ "id": record.id.to_string() }));
            }
            ("POST", "erase") => {
                let Erase { id } = request.json()?;
                self.erase_by_hand(&id, now)?;
            }
            ("POST", "webhooks") => self.webhooks.set(request.json()?),
            ("GET", "webhooks") => return Ok(self.webhooks.json()),
            ("GET", "dump") => return Ok(self.dump()),
            ("GET", "calls") => {
                let after = request.parameter("after").and_then(|after| after.parse().ok());
                let calls: Vec<_> = self.log.calls(after.unwrap_or(0)).map(Call::json).collect();
                return Ok(json!({ "calls": calls }));
            }
            ("GET", "violations") => {
                return Ok(json!({ "violations": self.log.violations() }));
            }
            _ => return Err(Refusal::not_found()),
        }
        Ok(json!({ "ok": true }))
    }

    /// Settings by name; `tokens` replaces the accepted tokens, `expired_tokens` lets some expire.
    fn change_settings(&mut self, mut change: Map<String, Value>) -> Result<(), Refusal> {
        let invalid = |error: serde_json::Error| Refusal::invalid(error.to_string());
        let tokens = change.remove("tokens").map(serde_json::from_value::<Vec<Token>>);
        let tokens = tokens.transpose().map_err(invalid)?;
        let expired = change.remove("expired_tokens").map(serde_json::from_value);
        let expired = expired.transpose().map_err(invalid)?;
        let settings = self.settings.changed(change).map_err(Refusal::invalid)?;
        if settings.shuffle_seed != self.settings.shuffle_seed {
            self.random = StdRng::seed_from_u64(settings.shuffle_seed);
        }
        self.settings = settings;
        self.tokens = tokens.unwrap_or_else(|| self.tokens.clone());
        self.expired_tokens = expired.unwrap_or_else(|| self.expired_tokens.clone());
        Ok(())
    }

    /// What a person does in HubSpot's pages: changes values, archives, restores.
    fn edit(&mut self, edit: &Edit, now: Timestamp) -> Result<Value, Refusal> {
        let kind = kind_named(&edit.object_type)?;
        let lag_ms = self.settings.search_lag_ms;
        let table = &mut self.holding(kind).table;
        table.begin();
        let record = table.by_id(&edit.id).ok_or_else(Refusal::not_found)?;
        let mut record = Record::clone(record);
        if let Some(archived) = edit.archived {
            record.archived_at = archived.then_some(now);
            if !archived && table.conflict(&record).is_some() {
                let message = "Another record has taken its unique values";
                return Err(Refusal::new(409, "CONFLICT", message));
            }
            table.put(record.clone(), now);
        }
        if !edit.properties.is_empty() {
            let context = Context { request: &Request::default(), now, plan: &Plan::default() };
            let mut writer = self.writer(kind, &context);
            writer.source = Source::CrmUi;
            writer.update(&record, &edit.properties)?;
        }
        let table = &mut self.holding(kind).table;
        table.indexed(now, lag_ms);
        let changes = table.take_changes();
        if kind.is_contact() {
            self.tell_changes(changes, Source::CrmUi, now);
        }
        Ok(json!({ "id": record.id.to_string() }))
    }

    /// Erases a contact for good, as somebody does in HubSpot's pages.
    fn erase_by_hand(&mut self, id: &str, now: Timestamp) -> Result<(), Refusal> {
        let kind = kind_named("contacts")?;
        let table = &mut self.holding(kind).table;
        table.begin();
        let record = table.by_id(id).map(std::sync::Arc::clone).ok_or_else(Refusal::not_found)?;
        table.erase(record.id, now);
        self.events.forget(&record);
        self.tell("privacyDeletion", record.id, Source::CrmUi, now);
        Ok(())
    }

    /// Everything but tokens and the log.
    fn dump(&self) -> Value {
        let mut objects = Map::new();
        let mut schemas = Map::new();
        for kind in OBJECT_TYPES {
            let Some(holding) = self.holdings.get(kind.id) else {
                continue;
            };
            let names = || holding.schema.properties.keys().map(String::as_str);
            let records = holding.table.all().map(|record| {
                let mut object = record.json(kind, &holding.schema, names());
                if let Some(Value::Object(properties)) = object.get_mut("properties") {
                    properties.retain(|_, value| !value.is_null());
                }
                Value::Object(object)
            });
            objects.insert(kind.plural.to_owned(), records.collect());
            schemas.insert(kind.plural.to_owned(), json!(holding.schema));
        }
        json!({
            "settings": self.settings,
            "objects": objects,
            "schemas": schemas,
            "blocked_emails": self.blocked_emails,
            "events": self.events.json(),
            "faults": self.faults.json(),
            "limits": { "peak_in_10_s": self.limits.peak(), "today": self.limits.today() },
        })
    }
}
