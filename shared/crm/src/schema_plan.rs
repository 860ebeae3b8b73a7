//! The schema as code: what a portal lacks of what is declared, and what stands in the way.
//!
//! What is missing can be created. What is there in another form cannot: a CRM changes neither the
//! type of a property nor whether its values are unique, and a property under a new name is a new
//! one that leaves the values behind. So both are refused, with what a person has to decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::port::KeyKind;
use crate::schema::{EventDefinition, Origin, Property, Schema};

/// A property as a portal describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalProperty {
    /// Its name.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// How its values are stored, in the words of [`crate::schema::PropertyKind::stored_as`] where
    /// it is one of them.
    pub stored_as: String,
    /// Whether no two contacts may share a value.
    pub unique: bool,
    /// The group it is in.
    pub group: String,
}

/// What a portal has of definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalSchema {
    /// Names of its property groups.
    pub groups: BTreeSet<String>,
    /// Its properties of contacts.
    pub properties: Vec<PortalProperty>,
    /// Its custom events, without what it puts before their names; `None` when it has no such thing.
    pub events: Option<BTreeSet<String>>,
}

/// What is declared.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// Group and properties.
    pub schema: &'a Schema,
    /// Custom events; none where milestones are told by properties alone.
    pub events: &'a [EventDefinition],
    /// By what contacts are found: only a key has to be unique.
    pub key: KeyKind,
}

/// Something to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The property group.
    Group(&'static str),
    /// A property.
    Property(Property),
    /// A custom event.
    Event(EventDefinition),
}

/// Something that a person has to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A property is stored in another way than declared.
    Retyped {
        /// Which.
        property: &'static str,
        /// As declared.
        declared: &'static str,
        /// As found.
        found: String,
    },
    /// The property by which contacts are found allows two of them to share a value.
    NotUnique {
        /// Which.
        property: &'static str,
    },
    /// A declared property is missing, and one that is not declared has its label.
    Renamed {
        /// The declared one.
        property: &'static str,
        /// The one in the portal.
        found: String,
    },
}

/// The difference between what is declared and what a portal has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be created, in this order.
    pub steps: Vec<Step>,
    /// What stands in the way; while there is any of it, nothing is created.
    pub obstacles: Vec<Obstacle>,
    /// Properties of our group that are not declared any more. They are left alone.
    pub undeclared: Vec<String>,
    /// The portal has no custom events, so none is created.
    pub events_missing: bool,
}

impl Plan {
    /// Whether nothing is to be done or decided.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }
}

impl Step {
    /// What kind of thing it creates: `group`, `property` or `event`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::Property(_) => "property",
            Self::Event(_) => "event",
        }
    }

    /// The name of what it creates.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Group(name) => name,
            Self::Property(property) => property.name,
            Self::Event(event) => event.name,
        }
    }
}

impl Obstacle {
    /// The stable name, snake_case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Retyped { .. } => "retyped",
            Self::NotUnique { .. } => "not_unique",
            Self::Renamed { .. } => "renamed",
        }
    }

    /// The declared property it is about.
    pub fn property(&self) -> &'static str {
        match self {
            Self::Retyped { property, .. }
            | Self::NotUnique { property }
            | Self::Renamed { property, .. } => property,
        }
    }

    /// What is wrong and what can be done, for people.
    pub fn explanation(&self) -> String {
        match self {
            Self::Retyped { property, declared, found } => format!(
                "{property} is declared as {declared}, and the portal stores it as {found}. The type \
                 of a property cannot be changed: declare the new type under a new name, or archive \
                 the portal's property and accept that its values are lost."
            ),
            Self::NotUnique { property } => format!(
                "{property} has to be unique, since contacts are found by it, and the portal's is \
                 not. That cannot be changed: archive the portal's property first, or find contacts \
                 by e-mail address."
            ),
            Self::Renamed { property, found } => format!(
                "{property} is missing, and {found}, which is not declared, has its label. A property \
                 under a new name begins without values: give {found} another label or archive it if \
                 that is meant, or keep the old name."
            ),
        }
    }
}

/// The difference between what is declared and what `portal` has.
pub fn plan(declared: Declared<'_>, portal: &PortalSchema) -> Plan {
    let Declared { schema, events, key } = declared;
    let found: BTreeMap<&str, &PortalProperty> =
        portal.properties.iter().map(|property| (property.name.as_str(), property)).collect();
    let known: BTreeSet<&str> = schema.properties.iter().map(|property| property.name).collect();
    let undeclared: Vec<&PortalProperty> = portal
        .properties
        .iter()
        .filter(|property| {
            property.group == schema.group && !known.contains(property.name.as_str())
        })
        .collect();
    let mut plan = Plan {
        undeclared: undeclared.iter().map(|property| property.name.clone()).collect(),
        events_missing: portal.events.is_none() && !events.is_empty(),
        ..Plan::default()
    };
    if !portal.groups.contains(schema.group) {
        plan.steps.push(Step::Group(schema.group));
    }
    for property in schema.properties.iter().filter(|property| property.origin == Origin::Ours) {
        if let Some(found) = found.get(property.name) {
            plan.obstacles.extend(obstacle(property, found, key));
            continue;
        }
        let twin = undeclared.iter().find(|other| other.label == property.label);
        plan.obstacles.extend(
            twin.map(|twin| Obstacle::Renamed {
                property: property.name,
                found: twin.name.clone(),
            }),
        );
        plan.steps.push(Step::Property(*property));
    }
    if let Some(there) = &portal.events {
        let missing = events.iter().filter(|event| !there.contains(event.name));
        plan.steps.extend(missing.map(|event| Step::Event(*event)));
    }
    plan
}

fn obstacle(property: &Property, found: &PortalProperty, key: KeyKind) -> Option<Obstacle> {
    let declared = property.kind.stored_as();
    if found.stored_as != declared {
        let found = found.stored_as.clone();
        return Some(Obstacle::Retyped { property: property.name, declared, found });
    }
    let must_be_unique = property.unique && key == KeyKind::UserId;
    (must_be_unique && !found.unique).then_some(Obstacle::NotUnique { property: property.name })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{EVENTS, SCHEMA};

    const DECLARED: Declared<'static> =
        Declared { schema: &SCHEMA, events: EVENTS, key: KeyKind::UserId };

    fn ours() -> Vec<Property> {
        SCHEMA.properties.iter().filter(|p| p.origin == Origin::Ours).copied().collect()
    }

    fn as_found(property: &Property) -> PortalProperty {
        PortalProperty {
            name: property.name.to_owned(),
            label: property.label.to_owned(),
            stored_as: property.kind.stored_as().to_owned(),
            unique: property.unique,
            group: SCHEMA.group.to_owned(),
        }
    }

    /// What a CRM does with the steps of a plan.
    fn applied(portal: &PortalSchema, plan: &Plan) -> PortalSchema {
        let mut portal = portal.clone();
        for step in &plan.steps {
            match step {
                Step::Group(name) => {
                    portal.groups.insert((*name).to_owned());
                }
                Step::Property(property) => portal.properties.push(as_found(property)),
                Step::Event(event) => {
                    portal.events.as_mut().unwrap().insert(event.name.to_owned());
                }
            }
        }
        portal
    }

    proptest! {
        #[test]
        fn exactly_what_is_missing_is_created_and_then_nothing_is(
            group in any::<bool>(),
            there in prop::collection::vec(any::<bool>(), ours().len()),
            events in prop::option::of(prop::collection::vec(any::<bool>(), EVENTS.len())),
        ) {
            let present = |flags: &[bool], names: Vec<&str>| -> BTreeSet<String> {
                let pairs = names.into_iter().zip(flags);
                pairs.filter(|(_, there)| **there).map(|(name, _)| name.to_owned()).collect()
            };
            let names = ours().iter().map(|property| property.name).collect();
            let properties = present(&there, names);
            let portal = PortalSchema {
                groups: group.then(|| SCHEMA.group.to_owned()).into_iter().collect(),
                properties: ours().iter().filter(|p| properties.contains(p.name)).map(as_found).collect(),
                events: events
                    .as_ref()
                    .map(|flags| present(flags, EVENTS.iter().map(|event| event.name).collect())),
            };
            let first = plan(DECLARED, &portal);
            prop_assert!(first.obstacles.is_empty());
            prop_assert_eq!(first.events_missing, events.is_none());
            let created: BTreeSet<&str> = first.steps.iter().map(Step::name).collect();
            prop_assert_eq!(created.len(), first.steps.len(), "each once");
            let missing = ours().iter().filter(|p| !properties.contains(p.name)).count()
                + usize::from(!group)
                + portal.events.as_ref().map_or(0, |there| EVENTS.len() - there.len());
            prop_assert_eq!(created.len(), missing);
            prop_assert!(plan(DECLARED, &applied(&portal, &first)).is_empty());
        }

        #[test]
        fn one_property_in_another_form_is_one_obstacle(place in 0..ours().len(), other in 0..5_usize) {
            let changed = ours()[place];
            let stored_as = ["string", "number", "date", "datetime", "enumeration"][other];
            let mut portal = applied(
                &PortalSchema { events: Some(BTreeSet::new()), ..PortalSchema::default() },
                &plan(DECLARED, &PortalSchema { events: Some(BTreeSet::new()), ..PortalSchema::default() }),
            );
            for property in portal.properties.iter_mut().filter(|p| p.name == changed.name) {
                stored_as.clone_into(&mut property.stored_as);
            }
            let planned = plan(DECLARED, &portal);
            if stored_as == changed.kind.stored_as() {
                prop_assert!(planned.is_empty());
            } else {
                let [Obstacle::Retyped { property, declared, found }] = &planned.obstacles[..] else {
                    panic!("{planned:?}");
                };
                prop_assert_eq!((*property, *declared), (changed.name, changed.kind.stored_as()));
                prop_assert_eq!(found, stored_as);
                prop_assert!(planned.steps.is_empty());
            }
        }
    }

    fn check(change: impl Fn(&mut PortalProperty), key: KeyKind, code: Option<&str>) {
        let mut properties: Vec<PortalProperty> = ours().iter().map(as_found).collect();
        let place = properties.iter().position(|p| p.name == crate::schema::USER_ID).unwrap();
        change(&mut properties[place]);
        let groups = [SCHEMA.group.to_owned()].into();
        let events = Some(EVENTS.iter().map(|event| event.name.to_owned()).collect());
        let portal = PortalSchema { groups, properties, events };
        let plan = plan(Declared { key, ..DECLARED }, &portal);
        let codes: Vec<&str> = plan.obstacles.iter().map(Obstacle::code).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{plan:?}");
        for obstacle in &plan.obstacles {
            assert!(obstacle.explanation().contains(obstacle.property()), "{obstacle:?}");
        }
    }

    #[test]
    fn renamed_and_no_longer_unique_are_refused_and_what_is_a_matter_of_taste_is_not() {
        check(|_| {}, KeyKind::UserId, None);
        check(|property| property.label = "Whatever".to_owned(), KeyKind::UserId, None);
        check(|property| property.group = "contactinformation".to_owned(), KeyKind::UserId, None);
        check(
            |property| property.name = "rollcall_uid".to_owned(),
            KeyKind::UserId,
            Some("renamed"),
        );
        check(|property| property.unique = false, KeyKind::UserId, Some("not_unique"));
        check(|property| property.unique = false, KeyKind::Email, None);
    }
}
