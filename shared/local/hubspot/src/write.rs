//! One write of one record: the rules that hold alike for single calls, batches, merges and edits
//! by a person.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::faults::RefusedProperty;
use crate::properties::Schema;
use crate::records::{Record, Source, Table};
use crate::settings::Settings;
use crate::standard::lifecycle_position;
use crate::values::{self, Invalid};
use crate::wire::{Detail, Refusal, UNKNOWN_PROPERTY};

/// Properties of a request, by name.
pub(crate) type Properties = BTreeMap<String, Value>;

/// Everything a write needs to know.
pub(crate) struct Writer<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) schema: &'a Schema,
    pub(crate) settings: &'a Settings,
    pub(crate) blocked_emails: &'a BTreeSet<String>,
    pub(crate) refused: &'a [RefusedProperty],
    pub(crate) next_id: &'a mut u64,
    pub(crate) now: Timestamp,
    pub(crate) source: Source,
}

impl Writer<'_> {
    /// A new record.
    pub(crate) fn create(&mut self, properties: &Properties) -> Result<Arc<Record>, Refusal> {
        let record = Record::new(*self.next_id, self.now);
        let written = self.apply(record, properties)?;
        *self.next_id += 1;
        Ok(written)
    }

    /// A change of an existing record. Any write, even one that changes no value, is a
    /// modification.
    pub(crate) fn update(
        &mut self,
        record: &Record,
        properties: &Properties,
    ) -> Result<Arc<Record>, Refusal> {
        let mut record = record.clone();
        record.updated_at = self.now;
        self.apply(record, properties)
    }

    /// Blanks what an integration wrote before and `properties` leaves out: what may happen to
    /// partial upserts by e-mail.
    pub(crate) fn blank_omitted(&self, record: &Record, properties: &Properties) -> Record {
        let mut record = record.clone();
        let omitted: Vec<String> = record
            .values
            .iter()
            .filter(|(name, _)| !properties.contains_key(*name))
            .filter(|(name, _)| !["email", "hs_additional_emails"].contains(&name.as_str()))
            .filter(|(_, values)| {
                let last = values.versions.last();
                last.is_some_and(|last| last.source == Source::Integration)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in omitted {
            record.set(&name, String::new(), self.now, self.source);
        }
        record
    }

    fn apply(
        &mut self,
        mut record: Record,
        properties: &Properties,
    ) -> Result<Arc<Record>, Refusal> {
        let mut invalid = Vec::new();
        for (name, raw) in properties {
            match self.stored(&record, name, raw) {
                Ok(value) => self.set(&mut record, name, value),
                Err(reason) => invalid.push((name.as_str(), reason)),
            }
        }
        if self.table.kind.is_contact() {
            let blocked = record.emails().find(|email| self.blocked_emails.contains(*email));
            if let Some(email) = blocked {
                let message = format!("The email address {email} was erased and is blocked");
                invalid.push(("email", Invalid { code: "BLOCKED_EMAIL", message }));
            }
        }
        if !invalid.is_empty() {
            return Err(self.invalid(&invalid));
        }
        if let Some((property, value, holder)) = self.table.conflict(&record) {
            return Err(self.conflict(&record, property, value, holder));
        }
        Ok(self.table.put(record, self.now))
    }

    fn stored(&self, record: &Record, name: &str, raw: &Value) -> Result<String, Invalid> {
        let invalid = |code, message| Err(Invalid { code, message });
        let Some(property) = self.schema.property(name) else {
            return invalid(UNKNOWN_PROPERTY, format!("Property \"{name}\" does not exist"));
        };
        if let Some(refused) = self.refused.iter().find(|refused| refused.name == name) {
            return invalid("INVALID_VALUE", refused.message.clone());
        }
        if property.modification.read_only_value || self.table.kind.computes(name) {
            let message = format!("\"{name}\" is a read only property; its value cannot be set.");
            return invalid("READ_ONLY_VALUE", message);
        }
        let Some(text) = values::text(raw) else {
            return invalid("INVALID_VALUE", format!("{raw} is not a property value"));
        };
        values::stored(property, &text, record.get(name))
    }

    fn set(&self, record: &mut Record, name: &str, value: String) {
        if name == "lifecyclestage" && self.table.kind.is_contact() {
            let backwards = lifecycle_position(&value) < lifecycle_position(record.get(name));
            if backwards && !value.is_empty() {
                return;
            }
        }
        if name == "email" && record.emails().skip(1).any(|email| email == value) {
            self.promote_email(record, &value);
        }
        record.set(name, value, self.now, self.source);
    }

    /// A second address becomes the primary one and the primary one a second.
    fn promote_email(&self, record: &mut Record, email: &str) {
        let former = record.get("email").to_owned();
        let additional: Vec<_> = record
            .emails()
            .skip(1)
            .map(|other| if other == email { former.as_str() } else { other })
            .collect();
        let additional = additional.join(";");
        record.set("hs_additional_emails", additional, self.now, self.source);
    }

    fn invalid(&self, invalid: &[(&str, Invalid)]) -> Refusal {
        let items: Vec<Value> = invalid
            .iter()
            .map(|(name, invalid)| {
                json!({
                    "isValid": false,
                    "message": invalid.message,
                    "error": invalid.code,
                    "name": name,
                    "localizedErrorMessage": invalid.message,
                    "portalId": self.settings.portal_id,
                })
            })
            .collect();
        let message = format!("Property values were not valid: {}", Value::Array(items));
        let mut refusal = Refusal::invalid(message);
        for (name, invalid) in invalid {
            refusal.details.push(Detail::of_property(name, invalid.code, &invalid.message));
        }
        refusal
    }

    fn conflict(&self, record: &Record, property: &str, value: &str, holder: u64) -> Refusal {
        if property == "email" {
            let message = format!("Contact already exists. Existing ID: {holder}");
            return Refusal::new(409, "CONFLICT", message);
        }
        Refusal::invalid(format!(
            "Cannot set PropertyValueCoordinates{{portalId={}, objectTypeId={}, propertyName={property}, value={value}}} on {}. {holder} already has that value.",
            self.settings.portal_id, self.table.kind.id, record.id
        ))
    }
}
