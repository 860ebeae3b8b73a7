//! Properties and property groups: what a record of a type may hold (HubSpot's properties API).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::wire::Refusal;

/// Unique-value properties that one object type may have.
const UNIQUE_PROPERTIES_MAX: usize = 10;

/// The type of a property's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    String,
    Number,
    Date,
    Datetime,
    Enumeration,
    Bool,
    PhoneNumber,
}

impl Kind {
    /// The form fields that can show this type.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::String => {
                &["text", "textarea", "html", "phonenumber", "file", "calculation_equation"]
            }
            Self::Number => &["number", "calculation_equation"],
            Self::Date | Self::Datetime => &["date", "calculation_equation"],
            Self::Enumeration => {
                &["select", "radio", "checkbox", "booleancheckbox", "calculation_equation"]
            }
            Self::Bool => &["booleancheckbox", "radio", "select", "calculation_equation"],
            Self::PhoneNumber => &["phonenumber", "text"],
        }
    }
}

/// An option of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Choice {
    pub(crate) label: String,
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) hidden: bool,
    #[serde(default)]
    pub(crate) display_order: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

impl Choice {
    pub(crate) fn new(value: &str, label: &str, order: usize) -> Self {
        Self {
            label: label.to_owned(),
            value: value.to_owned(),
            hidden: false,
            display_order: i32::try_from(order).unwrap_or(i32::MAX),
            description: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn plain(value: &str) -> Self {
        Self::new(value, value, 0)
    }
}

/// What may be changed about a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Modification {
    pub(crate) archivable: bool,
    pub(crate) read_only_definition: bool,
    pub(crate) read_only_value: bool,
}

/// A property definition, in HubSpot's wire form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "HubSpot's wire form")]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) label: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) field_type: String,
    pub(crate) group_name: String,
    pub(crate) description: String,
    pub(crate) options: Vec<Choice>,
    pub(crate) display_order: i32,
    pub(crate) has_unique_value: bool,
    pub(crate) hidden: bool,
    pub(crate) form_field: bool,
    pub(crate) hubspot_defined: bool,
    pub(crate) calculated: bool,
    pub(crate) external_options: bool,
    pub(crate) data_sensitivity: String,
    #[serde(rename = "modificationMetadata")]
    pub(crate) modification: Modification,
    pub(crate) archived: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archived_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<Timestamp>,
}

impl Property {
    /// A writable property of the account's own.
    pub(crate) fn custom(name: &str, kind: Kind, field_type: &str, group: &str) -> Self {
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            kind,
            field_type: field_type.to_owned(),
            group_name: group.to_owned(),
            description: String::new(),
            options: Vec::new(),
            display_order: -1,
            has_unique_value: false,
            hidden: false,
            form_field: false,
            hubspot_defined: false,
            calculated: false,
            external_options: false,
            data_sensitivity: "non_sensitive".to_owned(),
            modification: Modification {
                archivable: true,
                read_only_definition: false,
                read_only_value: false,
            },
            archived: false,
            archived_at: None,
            created_at: None,
            updated_at: None,
        }
    }

    /// As HubSpot answers it.
    pub(crate) fn json(&self) -> Value {
        json!(self)
    }
}

/// A property group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) display_order: i32,
    pub(crate) archived: bool,
}

impl Group {
    pub(crate) fn new(name: &str, label: &str, display_order: i32) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), display_order, archived: false }
    }
}

/// Body of a property creation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "HubSpot's wire form")]
pub(crate) struct Create {
    pub(crate) name: String,
    label: String,
    #[serde(rename = "type")]
    kind: Kind,
    field_type: String,
    group_name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    options: Vec<Choice>,
    #[serde(default)]
    display_order: Option<i32>,
    #[serde(default)]
    pub(crate) has_unique_value: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    form_field: bool,
    #[serde(default)]
    external_options: bool,
    #[serde(default)]
    data_sensitivity: Option<String>,
}

/// Body of a group creation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateGroup {
    name: String,
    label: String,
    #[serde(default)]
    display_order: Option<i32>,
}

/// The groups and properties of one object type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Schema {
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) properties: BTreeMap<String, Property>,
}

impl Schema {
    /// The definition of `name`, unless there is none or it is archived.
    pub(crate) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.get(name).filter(|property| !property.archived)
    }

    /// Names of the properties whose values are unique.
    pub(crate) fn unique_names(&self) -> impl Iterator<Item = &str> {
        self.properties
            .values()
            .filter(|property| property.has_unique_value && !property.archived)
            .map(|property| property.name.as_str())
    }

    /// Adds a property.
    pub(crate) fn create(&mut self, create: Create, now: Timestamp) -> Result<Property, Refusal> {
        self.check_new(&create)?;
        let mut property =
            Property::custom(&create.name, create.kind, &create.field_type, &create.group_name);
        property.label = create.label;
        property.description = create.description;
        property.options = create.options;
        property.display_order = create.display_order.unwrap_or(-1);
        property.has_unique_value = create.has_unique_value;
        property.hidden = create.hidden;
        property.form_field = create.form_field;
        property.external_options = create.external_options;
        if let Some(sensitivity) = create.data_sensitivity {
            property.data_sensitivity = sensitivity;
        }
        property.created_at = Some(now);
        property.updated_at = Some(now);
        self.properties.insert(property.name.clone(), property.clone());
        Ok(property)
    }

    fn check_new(&self, create: &Create) -> Result<(), Refusal> {
        let name = &create.name;
        if self.property(name).is_some() {
            let message = format!("A property named '{name}' already exists.");
            return Err(Refusal::new(409, "OBJECT_ALREADY_EXISTS", message)
                .with_context("propertyName", vec![name.clone()]));
        }
        if !is_name(name) {
            return Err(Refusal::invalid(format!(
                "The property name '{name}' is not valid: names are lower case, begin with a letter and hold letters, digits and underscores."
            )));
        }
        if !self.groups.contains_key(&create.group_name) {
            return Err(unknown_group(&create.group_name));
        }
        check_shape(create.kind, &create.field_type, &create.options, create.external_options)?;
        if !create.has_unique_value {
            return Ok(());
        }
        if !matches!(create.kind, Kind::String | Kind::Number) {
            return Err(Refusal::invalid(format!(
                "The property '{name}' cannot have unique values: only text and numbers can."
            )));
        }
        if self.unique_names().count() >= UNIQUE_PROPERTIES_MAX {
            return Err(Refusal::invalid(format!(
                "An object type can have at most {UNIQUE_PROPERTIES_MAX} properties with unique values."
            )));
        }
        Ok(())
    }

    /// Changes a property; its type and uniqueness are for ever.
    pub(crate) fn update(
        &mut self,
        name: &str,
        change: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Property, Refusal> {
        let property = self.property(name).ok_or_else(|| no_property(name))?;
        if property.modification.read_only_definition {
            return Err(Refusal::invalid(format!(
                "The definition of the property '{name}' is read only."
            )));
        }
        let mut all = json!(property);
        if let Value::Object(fields) = &mut all {
            for (field, value) in change {
                let fixed = ["name", "type", "hasUniqueValue"].contains(&field.as_str());
                if fixed && fields.get(&field) != Some(&value) {
                    return Err(Refusal::invalid(format!(
                        "The field '{field}' of the property '{name}' cannot be changed."
                    )));
                }
                if CHANGEABLE.contains(&field.as_str()) {
                    fields.insert(field, value);
                }
            }
        }
        let mut changed: Property = serde_json::from_value(all)
            .map_err(|error| Refusal::invalid(format!("Invalid input: {error}")))?;
        if !self.groups.contains_key(&changed.group_name) {
            return Err(unknown_group(&changed.group_name));
        }
        check_shape(changed.kind, &changed.field_type, &changed.options, changed.external_options)?;
        changed.updated_at = Some(now);
        self.properties.insert(name.to_owned(), changed.clone());
        Ok(changed)
    }

    /// Archives a property: it disappears, and so do its values.
    pub(crate) fn archive(&mut self, name: &str, now: Timestamp) -> Result<(), Refusal> {
        let property = self.properties.get_mut(name).filter(|p| !p.archived);
        let property = property.ok_or_else(|| no_property(name))?;
        if !property.modification.archivable {
            return Err(Refusal::invalid(format!("The property '{name}' cannot be archived.")));
        }
        property.archived = true;
        property.archived_at = Some(now);
        Ok(())
    }

    /// Adds a group.
    pub(crate) fn create_group(&mut self, create: CreateGroup) -> Result<Group, Refusal> {
        let name = create.name;
        if self.groups.contains_key(&name) {
            let message = format!("A property group named '{name}' already exists.");
            return Err(Refusal::new(409, "OBJECT_ALREADY_EXISTS", message));
        }
        if !is_name(&name) {
            return Err(Refusal::invalid(format!("The group name '{name}' is not valid.")));
        }
        let group = Group::new(&name, &create.label, create.display_order.unwrap_or(-1));
        self.groups.insert(name, group.clone());
        Ok(group)
    }

    /// Changes a group's label or place.
    pub(crate) fn update_group(
        &mut self,
        name: &str,
        label: Option<String>,
        display_order: Option<i32>,
    ) -> Result<Group, Refusal> {
        let group = self.groups.get_mut(name).ok_or_else(Refusal::not_found)?;
        if let Some(label) = label {
            group.label = label;
        }
        if let Some(display_order) = display_order {
            group.display_order = display_order;
        }
        Ok(group.clone())
    }

    /// Removes a group that no property is in.
    pub(crate) fn archive_group(&mut self, name: &str) -> Result<(), Refusal> {
        let used = self.properties.values().any(|p| p.group_name == name && !p.archived);
        if used {
            return Err(Refusal::invalid(format!("The group '{name}' still has properties.")));
        }
        self.groups.remove(name).map(|_| ()).ok_or_else(Refusal::not_found)
    }
}

/// Fields of a property that its owner may change.
const CHANGEABLE: [&str; 8] = [
    "label",
    "fieldType",
    "groupName",
    "description",
    "options",
    "displayOrder",
    "hidden",
    "formField",
];

pub(crate) fn no_property(name: &str) -> Refusal {
    Refusal::new(404, "OBJECT_NOT_FOUND", format!("Property \"{name}\" does not exist"))
        .with_context("propertyName", vec![name.to_owned()])
}

fn unknown_group(name: &str) -> Refusal {
    Refusal::invalid(format!("The property group '{name}' does not exist."))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn check_shape(
    kind: Kind,
    field_type: &str,
    options: &[Choice],
    external_options: bool,
) -> Result<(), Refusal> {
    if !kind.fields().contains(&field_type) {
        return Err(Refusal::invalid(format!(
            "The field type '{field_type}' does not go with the property type '{}'.",
            json!(kind).as_str().unwrap_or_default()
        )));
    }
    let chooses = matches!(kind, Kind::Enumeration | Kind::Bool);
    if chooses && options.is_empty() && !external_options {
        return Err(Refusal::invalid("Enumeration and bool properties need options."));
    }
    let values: std::collections::BTreeSet<_> = options.iter().map(|o| &o.value).collect();
    if values.len() != options.len() {
        return Err(Refusal::invalid("Option values must be unique."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standard::{object_type, schema};

    fn check(change: &Value, expected: Result<(), u16>) {
        let mut schema = schema(object_type("contacts").unwrap());
        let mut body = json!({
            "name": "score", "label": "Score", "type": "number", "fieldType": "number",
            "groupName": "contactinformation",
        });
        if let (Value::Object(body), Value::Object(change)) = (&mut body, change.clone()) {
            body.extend(change);
        }
        let create: Create = serde_json::from_value(body).unwrap();
        let found = schema.create(create, Timestamp::UNIX_EPOCH);
        assert_eq!(found.map(|_| ()).map_err(|r| r.status), expected, "{change}");
    }

    #[test]
    fn a_definition_must_make_sense() {
        check(&json!({}), Ok(()));
        check(&json!({"hasUniqueValue": true}), Ok(()));
        check(&json!({"name": "email"}), Err(409));
        check(&json!({"name": "Score"}), Err(400));
        check(&json!({"name": "1score"}), Err(400));
        check(&json!({"groupName": "nowhere"}), Err(400));
        check(&json!({"fieldType": "text"}), Err(400));
        check(&json!({"type": "enumeration", "fieldType": "select"}), Err(400));
        check(
            &json!({"type": "enumeration", "fieldType": "select", "hasUniqueValue": true,
                   "options": [{"label": "A", "value": "a"}]}),
            Err(400),
        );
    }

    #[test]
    fn type_and_uniqueness_cannot_change() {
        let mut schema = schema(object_type("0-1").unwrap());
        let create = json!({"name": "score", "label": "Score", "type": "number",
                            "fieldType": "number", "groupName": "contactinformation"});
        schema.create(serde_json::from_value(create).unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        let mut patch = |change: Value| {
            let Value::Object(change) = change else { panic!("not an object") };
            schema.update("score", change, Timestamp::UNIX_EPOCH).map_err(|r| r.status)
        };
        assert_eq!(patch(json!({"label": "S", "type": "number"})).unwrap().label, "S");
        assert_eq!(patch(json!({"type": "string"})).unwrap_err(), 400);
        assert_eq!(patch(json!({"hasUniqueValue": true})).unwrap_err(), 400);
    }

    #[test]
    fn an_object_type_has_at_most_ten_unique_properties() {
        let mut schema = schema(object_type("0-1").unwrap());
        let mut create = |number: usize| {
            let body = json!({"name": format!("key_{number}"), "label": "K", "type": "string",
                "fieldType": "text", "groupName": "contactinformation", "hasUniqueValue": true});
            let create = serde_json::from_value(body).unwrap();
            schema.create(create, Timestamp::UNIX_EPOCH).map_err(|r| r.status)
        };
        for number in 0..10 {
            create(number).unwrap();
        }
        assert_eq!(create(10).unwrap_err(), 400);
    }
}
