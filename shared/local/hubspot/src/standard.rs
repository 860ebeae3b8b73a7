//! What every HubSpot account has from its first day: the standard object types, and their groups
//! and properties as far as a CRM sync can meet them.

use crate::properties::{Choice, Group, Kind, Property, Schema};

/// A standard object type.
#[derive(Debug)]
pub(crate) struct ObjectType {
    /// Such as `0-1`.
    pub(crate) id: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    /// Scope family: `{scope}.read` and `{scope}.write`, or one bare scope.
    pub(crate) scope: &'static str,
    /// Property that holds the time of creation.
    pub(crate) created: &'static str,
    /// Property that holds the time of the last change.
    pub(crate) modified: &'static str,
    /// Properties that a read returns when it names none, besides id and times.
    pub(crate) shown: &'static [&'static str],
}

impl ObjectType {
    /// Upper case singular, as in error messages.
    pub(crate) fn label(&self) -> String {
        self.singular.to_uppercase()
    }

    pub(crate) fn is_contact(&self) -> bool {
        self.id == "0-1"
    }

    /// Whether `name` is computed from the record itself.
    pub(crate) fn computes(&self, name: &str) -> bool {
        name == self.created || name == self.modified || COMPUTED.contains(&name)
    }
}

const COMPUTED: [&str; 3] = ["hs_object_id", "hs_merged_object_ids", "hs_calculated_merged_vids"];

macro_rules! object_types {
    ($($id:literal $plural:literal $singular:literal $scope:literal $created:literal $modified:literal [$($shown:literal)*];)*) => {
        /// Every standard object type that the emulator serves.
        pub(crate) static OBJECT_TYPES: &[ObjectType] = &[$(ObjectType {
            id: $id, plural: $plural, singular: $singular, scope: $scope,
            created: $created, modified: $modified, shown: &[$($shown),*],
        }),*];
    };
}

object_types! {
    "0-1" "contacts" "contact" "crm.objects.contacts" "createdate" "lastmodifieddate" ["email" "firstname" "lastname"];
    "0-2" "companies" "company" "crm.objects.companies" "createdate" "hs_lastmodifieddate" ["domain" "name"];
    "0-3" "deals" "deal" "crm.objects.deals" "createdate" "hs_lastmodifieddate" ["amount" "closedate" "dealname" "dealstage" "pipeline"];
    "0-5" "tickets" "ticket" "tickets" "createdate" "hs_lastmodifieddate" ["content" "hs_pipeline" "hs_pipeline_stage" "subject"];
    "0-7" "products" "product" "e-commerce" "createdate" "hs_lastmodifieddate" ["description" "name" "price"];
    "0-8" "line_items" "line_item" "crm.objects.line_items" "createdate" "hs_lastmodifieddate" ["amount" "quantity"];
    "0-27" "tasks" "task" "crm.objects.contacts" "hs_createdate" "hs_lastmodifieddate" ["hs_task_subject" "hs_timestamp"];
    "0-46" "notes" "note" "crm.objects.contacts" "hs_createdate" "hs_lastmodifieddate" ["hs_note_body" "hs_timestamp"];
    "0-47" "meetings" "meeting" "crm.objects.contacts" "hs_createdate" "hs_lastmodifieddate" ["hs_meeting_title" "hs_timestamp"];
    "0-48" "calls" "call" "crm.objects.contacts" "hs_createdate" "hs_lastmodifieddate" ["hs_call_body" "hs_timestamp"];
    "0-49" "emails" "email" "crm.objects.contacts" "hs_createdate" "hs_lastmodifieddate" ["hs_email_subject" "hs_timestamp"];
    "0-410" "courses" "course" "crm.objects.courses" "hs_createdate" "hs_lastmodifieddate" ["hs_course_id" "hs_course_name"];
}

/// The type that a path segment names: plural, singular or type id.
pub(crate) fn object_type(name: &str) -> Option<&'static ObjectType> {
    OBJECT_TYPES.iter().find(|kind| [kind.id, kind.plural, kind.singular].contains(&name))
}

/// Life-cycle stages in the order in which a contact may only move forward.
pub(crate) const LIFECYCLE_STAGES: [(&str, &str); 8] = [
    ("subscriber", "Subscriber"),
    ("lead", "Lead"),
    ("marketingqualifiedlead", "Marketing Qualified Lead"),
    ("salesqualifiedlead", "Sales Qualified Lead"),
    ("opportunity", "Opportunity"),
    ("customer", "Customer"),
    ("evangelist", "Evangelist"),
    ("other", "Other"),
];

/// Position of a life-cycle stage; `None` for the empty value.
pub(crate) fn lifecycle_position(stage: &str) -> Option<usize> {
    LIFECYCLE_STAGES.iter().position(|(value, _)| *value == stage)
}

const CONTACT_TEXTS: [(&str, &str); 13] = [
    ("email", "Email"),
    ("hs_additional_emails", "Additional email addresses"),
    ("firstname", "First Name"),
    ("lastname", "Last Name"),
    ("company", "Company Name"),
    ("jobtitle", "Job Title"),
    ("website", "Website URL"),
    ("address", "Street Address"),
    ("city", "City"),
    ("state", "State/Region"),
    ("zip", "Postal Code"),
    ("country", "Country/Region"),
    ("hs_language", "Preferred language"),
];

/// A property that HubSpot defines: its definition cannot be changed.
fn defined(name: &str, label: &str, kind: Kind, field_type: &str, group: &str) -> Property {
    let mut property = Property::custom(name, kind, field_type, group);
    label.clone_into(&mut property.label);
    property.hubspot_defined = true;
    property.modification.read_only_definition = true;
    property.modification.archivable = false;
    property
}

/// The groups and properties that `kind` has from the start.
pub(crate) fn schema(kind: &ObjectType) -> Schema {
    let group = format!("{}information", kind.singular.replace('_', ""));
    let label = format!("{} information", kind.singular.replace('_', " "));
    let mut properties = computed(kind, &group);
    if kind.is_contact() {
        properties.extend(of_contacts(&group));
    } else {
        properties.extend(kind.shown.iter().map(|name| shown(name, &group)));
    }
    let mut schema = Schema::default();
    schema.groups.insert(group.clone(), Group::new(&group, &label, 0));
    for property in properties {
        schema.properties.insert(property.name.clone(), property);
    }
    schema
}

fn computed(kind: &ObjectType, group: &str) -> Vec<Property> {
    let mut properties = vec![
        defined(kind.created, "Create Date", Kind::Datetime, "date", group),
        defined(kind.modified, "Last Modified Date", Kind::Datetime, "date", group),
        defined("hs_object_id", "Record ID", Kind::Number, "number", group),
        defined("hs_merged_object_ids", "Merged record IDs", Kind::Enumeration, "checkbox", group),
    ];
    if kind.is_contact() {
        let label = "Merged contact IDs";
        properties.push(defined("hs_calculated_merged_vids", label, Kind::String, "text", group));
    }
    for property in &mut properties {
        property.modification.read_only_value = true;
    }
    properties
}

fn of_contacts(group: &str) -> Vec<Property> {
    let text = |(name, label): &(&str, &str)| defined(name, label, Kind::String, "text", group);
    let mut properties: Vec<_> = CONTACT_TEXTS.iter().map(text).collect();
    for (name, label) in [("phone", "Phone Number"), ("mobilephone", "Mobile Phone Number")] {
        properties.push(defined(name, label, Kind::String, "phonenumber", group));
    }
    let label = "Lifecycle Stage";
    let mut stage = defined("lifecyclestage", label, Kind::Enumeration, "radio", group);
    let stages = LIFECYCLE_STAGES.iter().enumerate();
    stage.options =
        stages.map(|(order, (value, label))| Choice::new(value, label, order)).collect();
    properties.push(stage);
    properties
}

fn shown(name: &str, group: &str) -> Property {
    let (kind, field_type) = match name {
        "closedate" | "hs_timestamp" => (Kind::Datetime, "date"),
        "amount" | "price" | "quantity" => (Kind::Number, "number"),
        "hs_note_body" | "hs_call_body" | "content" => (Kind::String, "textarea"),
        _ => (Kind::String, "text"),
    };
    defined(name, name, kind, field_type, group)
}
