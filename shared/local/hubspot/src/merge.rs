//! Merging two records into one, and erasing a person for good.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::batch::normalised;
use crate::objects::written;
use crate::portal::{Context, Portal};
use crate::records::{IDENTITIES_MAX, Record, Source};
use crate::standard::{ObjectType, lifecycle_position};
use crate::wire::{Answer, Refusal};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MergeBody {
    primary_object_id: String,
    object_id_to_merge: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EraseBody {
    object_id: String,
    #[serde(default)]
    id_property: Option<String>,
}

impl Portal {
    /// `POST …/{type}/merge`.
    pub(crate) fn merge_call(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let body: MergeBody = context.request.json()?;
        let ids = (body.primary_object_id.as_str(), body.object_id_to_merge.as_str());
        let record = self.merge(kind, ids, context.now, Source::Integration)?;
        if !context.plan.no_op {
            self.tell_merged(kind, ids, &record, (Source::Integration, context.now));
        }
        let object = written(kind, &self.holding(kind).schema, &record, record.values.keys());
        Ok(Answer::json(200, Value::Object(object)))
    }

    /// Makes one record of two, given (primary, merged): the primary's values win, and both ids
    /// lead to what survives.
    pub(crate) fn merge(
        &mut self,
        kind: &'static ObjectType,
        (primary, merged): (&str, &str),
        now: Timestamp,
        source: Source,
    ) -> Result<Arc<Record>, Refusal> {
        let keeps_id = self.settings.merge_keeps_primary_id;
        let new_id = self.next_id;
        let table = &mut self.holding(kind).table;
        let found = |id: &str| table.find(None, id).map(Arc::clone).ok_or_else(Refusal::not_found);
        let (primary, merged) = (found(primary)?, found(merged)?);
        if primary.id == merged.id {
            return Err(Refusal::invalid("A record cannot be merged with itself"));
        }
        if primary.merged.len() + merged.merged.len() + 2 > IDENTITIES_MAX {
            let message = format!("The merged record would have over {IDENTITIES_MAX} identities");
            return Err(Refusal::new(414, "VALIDATION_ERROR", message));
        }
        let mut survivor = Record::clone(&primary);
        absorb(&mut survivor, &merged, now, source);
        table.erase(merged.id, now);
        survivor.merged.push((merged.id, now));
        if !keeps_id {
            table.erase(primary.id, now);
            survivor.merged.push((primary.id, now));
            survivor.id = new_id;
            table.alias(primary.id, new_id);
        }
        table.alias(merged.id, survivor.id);
        let survivor = table.put(survivor, now);
        for old in [merged.id, primary.id] {
            if old != survivor.id {
                self.associations.follow(kind, old, survivor.id);
            }
        }
        if !keeps_id {
            self.next_id += 1;
        }
        Ok(survivor)
    }

    /// Tells that two contacts, given as to [`Portal::merge`], became `survivor`.
    pub(crate) fn tell_merged(
        &mut self,
        kind: &'static ObjectType,
        (primary, merged): (&str, &str),
        survivor: &Record,
        (source, now): (Source, Timestamp),
    ) {
        if let (true, Ok(primary), Ok(merged)) =
            (kind.is_contact(), primary.parse(), merged.parse())
        {
            self.tell_merge((primary, merged, survivor.id), source, now);
        }
    }

    /// `POST …/{type}/gdpr-delete`.
    pub(crate) fn erase_call(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let body: EraseBody = context.request.json()?;
        let property = body.id_property.as_deref();
        let id = normalised(property, &body.object_id);
        let table = &mut self.holding(kind).table;
        let found = match property {
            None => table.by_id(&id),
            Some(property) => table.find(Some(property), &id),
        };
        match found.map(Arc::clone) {
            Some(record) => {
                table.erase(record.id, context.now);
                if !context.plan.no_op {
                    self.events.forget(&record);
                    if kind.is_contact() {
                        let source = Source::Integration;
                        self.tell("privacyDeletion", record.id, source, context.now);
                    }
                }
                Ok(Answer::empty(204))
            }
            None if property == Some("email") => {
                if !context.plan.no_op {
                    self.blocked_emails.insert(id);
                }
                Ok(Answer::empty(204))
            }
            None => Err(Refusal::not_found()),
        }
    }
}

fn absorb(survivor: &mut Record, merged: &Record, now: Timestamp, source: Source) {
    let addresses: Vec<_> = survivor.emails().chain(merged.emails()).map(str::to_owned).collect();
    let stages = (survivor.get("lifecyclestage"), merged.get("lifecyclestage"));
    let further = lifecycle_position(stages.1) > lifecycle_position(stages.0);
    for (name, values) in &merged.values {
        let stage = name == "lifecyclestage" && further;
        if survivor.get(name).is_empty() || stage {
            survivor.values.insert(name.clone(), values.clone());
        }
    }
    let primary = survivor.get("email").to_owned();
    let additional: Vec<_> = addresses.into_iter().filter(|email| *email != primary).collect();
    survivor.set("hs_additional_emails", additional.join(";"), now, source);
    survivor.created_at = survivor.created_at.min(merged.created_at);
    survivor.updated_at = now;
    survivor.merged.extend(merged.merged.iter().copied());
}
