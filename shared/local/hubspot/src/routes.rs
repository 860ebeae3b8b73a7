//! HubSpot's path families: undated (`/crm/v3/…`) and dated (`/crm/objects/2026-09/…`) paths lead
//! to the same handlers.

use crate::standard::{ObjectType, object_type};
use crate::wire::decoded;

/// What a path is about.
#[derive(Debug)]
pub(crate) enum Area {
    /// Records; `None` when there is no such object type.
    Objects(Option<&'static ObjectType>),
    /// Property definitions and groups.
    Properties(Option<&'static ObjectType>),
    /// Associations between two object types.
    Associations(Option<&'static ObjectType>, Option<&'static ObjectType>),
    /// Custom events.
    Events,
    /// Account details.
    Account,
}

/// A path, taken apart.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) area: Area,
    pub(crate) dated: bool,
    /// The object type as the path spells it.
    pub(crate) type_name: String,
    /// What follows the object type, or the area when it has none.
    pub(crate) rest: Vec<String>,
}

fn is_version(segment: &str) -> bool {
    ["2026-03", "2026-09"].contains(&segment)
}

impl Route {
    /// `None` for a path that HubSpot, as far as it is emulated, does not know.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> =
            path.split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (area, dated, rest): (&str, bool, &[&str]) = match segments.as_slice() {
            ["crm", "v3", area @ ("objects" | "properties"), rest @ ..] => (area, false, rest),
            ["crm", area @ ("objects" | "properties"), version, rest @ ..]
                if is_version(version) =>
            {
                (area, true, rest)
            }
            ["crm", "v4", "associations", rest @ ..] => ("associations", false, rest),
            ["crm", "associations", version, rest @ ..] if is_version(version) => {
                ("associations", true, rest)
            }
            ["crm", "v4", "objects", rest @ ..] if matches!(rest, [_, _, "associations", ..]) => {
                ("objects", false, rest)
            }
            ["events", "v3", rest @ ..] => ("events", false, rest),
            ["events", "custom", version, rest @ ..] if is_version(version) => {
                ("events", true, rest)
            }
            ["events", "event-occurrences", version] if is_version(version) => {
                ("events", true, &["events"])
            }
            ["account-info", version, "details"] if is_version(version) || *version == "v3" => {
                ("account", *version != "v3", &[])
            }
            _ => return None,
        };
        let (area, type_name, rest) = match (area, rest) {
            ("objects", [name, rest @ ..]) => (Area::Objects(object_type(name)), *name, rest),
            ("properties", [name, rest @ ..]) => (Area::Properties(object_type(name)), *name, rest),
            ("associations", [from, to, rest @ ..]) => {
                (Area::Associations(object_type(from), object_type(to)), *from, rest)
            }
            ("events", rest) => (Area::Events, "", rest),
            ("account", rest) => (Area::Account, "", rest),
            _ => return None,
        };
        Some(Self {
            area,
            dated,
            type_name: type_name.to_owned(),
            rest: rest.iter().map(|segment| (*segment).to_owned()).collect(),
        })
    }

    pub(crate) fn is_search(&self) -> bool {
        matches!(self.area, Area::Objects(_)) && self.rest.first().is_some_and(|s| s == "search")
    }

    /// The type whose records this path is about.
    pub(crate) fn object_type(&self) -> Option<&'static ObjectType> {
        match self.area {
            Area::Objects(kind) => kind,
            Area::Properties(_) | Area::Associations(..) | Area::Events | Area::Account => None,
        }
    }

    /// Scopes of which any one suffices.
    pub(crate) fn scopes(&self, method: &str) -> Vec<String> {
        let reads_by_post = ["search", "batch/read"].contains(&self.rest.join("/").as_str());
        let action = if method == "GET" || reads_by_post { "read" } else { "write" };
        match self.area {
            Area::Objects(Some(kind)) => vec![scope(kind.scope, action)],
            Area::Properties(Some(kind)) => {
                let schemas = kind.scope.replace("crm.objects.", "crm.schemas.");
                let mut scopes = vec![scope(&schemas, action)];
                // Who may read records may read what their properties mean.
                if action == "read" {
                    scopes.push(scope(kind.scope, action));
                }
                scopes
            }
            Area::Associations(Some(from), _) => vec![scope(from.scope, action)],
            Area::Events => match self.rest.first().map(String::as_str) {
                Some("send") => vec!["analytics.behavioral_events.send".to_owned()],
                _ => vec!["behavioral_events.event_definitions.read_write".to_owned()],
            },
            Area::Account
            | Area::Objects(None)
            | Area::Properties(None)
            | Area::Associations(None, _) => Vec::new(),
        }
    }
}

/// Some families have one scope for reading and writing alike.
fn scope(family: &str, action: &str) -> String {
    if family.contains('.') { format!("{family}.{action}") } else { family.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<(&str, bool, &[&str])>) {
        let route = Route::parse(path);
        let found = route.as_ref().map(|route| {
            let area = match &route.area {
                Area::Objects(kind) | Area::Properties(kind) => kind.map_or("?", |kind| kind.id),
                Area::Associations(from, _) => from.map_or("?", |kind| kind.id),
                Area::Events => "events",
                Area::Account => "account",
            };
            (area, route.dated, route.rest.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let expected = expected.map(|(area, dated, rest)| (area, dated, rest.to_vec()));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn both_families_lead_to_the_same_place() {
        check("/crm/v3/objects/contacts", Some(("0-1", false, &[])));
        check("/crm/objects/2026-09/0-1", Some(("0-1", true, &[])));
        check("/crm/objects/2026-03/contact/7", Some(("0-1", true, &["7"])));
        check("/crm/objects/2025-09/contacts", None);
        check("/crm/v3/objects/dragons", Some(("?", false, &[])));
        check("/crm/properties/2026-09/deals/groups", Some(("0-3", true, &["groups"])));
        check("/events/v3/send", Some(("events", false, &["send"])));
        check("/events/custom/2026-09/send/batch", Some(("events", true, &["send", "batch"])));
        check("/account-info/v3/details", Some(("account", false, &[])));
        check("/crm/v3/objects/contacts/a%40b.org", Some(("0-1", false, &["a@b.org"])));
        let of_one = "/crm/v4/objects/contacts/1/associations/deals";
        check(of_one, Some(("0-1", false, &["1", "associations", "deals"])));
        check("/crm/v4/objects/contacts/1", None);
        let all = "/crm/associations/2026-09/contacts/deals/labels";
        check(all, Some(("0-1", true, &["labels"])));
        check("/oauth/v1/token", None);
    }
}
