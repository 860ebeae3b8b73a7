//! Associations between records (version 4): with and without labels, one by one and in batches. Each is
//! kept in both directions, as HubSpot shows it from either side.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::batch::{check_count, envelope};
use crate::portal::{Context, Portal};
use crate::standard::{ObjectType, object_type};
use crate::wire::{Answer, Refusal};

/// Inputs of one write.
const WRITES_MAX: usize = 100;
/// Inputs of one read.
const READS_MAX: usize = 1_000;

/// From, to, and the type that HubSpot gives when none is named.
const DEFAULTS: [(&str, &str, u32); 14] = [
    ("0-1", "0-2", 279),
    ("0-2", "0-1", 280),
    ("0-3", "0-2", 341),
    ("0-2", "0-3", 342),
    ("0-3", "0-1", 3),
    ("0-1", "0-3", 4),
    ("0-46", "0-1", 202),
    ("0-46", "0-2", 190),
    ("0-46", "0-3", 214),
    ("0-27", "0-1", 204),
    ("0-27", "0-2", 192),
    ("0-27", "0-3", 216),
    ("0-49", "0-1", 198),
    ("0-8", "0-3", 20),
];
/// Types and what they are called from the other side.
const INVERSES: [(u32, u32); 5] = [(279, 280), (1, 2), (341, 342), (5, 6), (3, 4)];

/// A type as requests name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Label {
    association_category: String,
    association_type_id: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct End {
    kind: String,
    id: u64,
}

/// Every association, by its first end and its second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Associations(BTreeMap<End, BTreeMap<End, BTreeSet<Label>>>);

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct LinkInput {
    from: Named,
    to: Named,
    #[serde(default)]
    types: Vec<Label>,
}

#[derive(Debug, Deserialize)]
struct UnlinkInput {
    from: Named,
    to: Vec<Named>,
}

/// An association that is made together with a record.
#[derive(Debug, Deserialize)]
pub(crate) struct NewLink {
    to: Named,
    types: Vec<Label>,
}

type Types = (&'static ObjectType, &'static ObjectType);

impl Associations {
    fn link(&mut self, from: &End, to: &End, label: &Label) {
        let ends = self.0.entry(from.clone()).or_default();
        ends.entry(to.clone()).or_default().insert(label.clone());
        let id = label.association_type_id;
        let inverse = INVERSES.iter().find_map(|(one, other)| match id {
            id if id == *one => Some(*other),
            id if id == *other => Some(*one),
            _ => None,
        });
        let label = Label { association_type_id: inverse.unwrap_or(id), ..label.clone() };
        self.0.entry(to.clone()).or_default().entry(from.clone()).or_default().insert(label);
    }

    fn unlink(&mut self, from: &End, to: &End) {
        for (one, other) in [(from, to), (to, from)] {
            if let Some(ends) = self.0.get_mut(one) {
                ends.remove(other);
            }
        }
    }

    /// What was associated with `from` is with `to`, as after a merge.
    pub(crate) fn follow(&mut self, kind: &ObjectType, from: u64, to: u64) {
        let end = |id| End { kind: kind.id.to_owned(), id };
        for (other, labels) in self.0.remove(&end(from)).unwrap_or_default() {
            self.unlink(&other, &end(from));
            for label in labels {
                self.link(&end(to), &other, &label);
            }
        }
    }

    fn of(&self, from: &End, kind: &ObjectType) -> Vec<Value> {
        let ends = self.0.get(from).into_iter().flatten();
        let ends = ends.filter(|(to, _)| to.kind == kind.id);
        ends.map(|(to, labels)| {
            let types = labels.iter().map(|label| {
                json!({
                    "category": label.association_category,
                    "typeId": label.association_type_id,
                    "label": null,
                })
            });
            json!({ "toObjectId": to.id, "associationTypes": types.collect::<Vec<_>>() })
        })
        .collect()
    }
}

fn default_label(from: &ObjectType, to: &ObjectType) -> Label {
    let mut defaults = DEFAULTS.iter();
    let found = defaults.find(|(one, other, _)| *one == from.id && *other == to.id);
    Label {
        association_category: "HUBSPOT_DEFINED".to_owned(),
        association_type_id: found.map_or(450, |(.., id)| *id),
    }
}

fn linked((from, one): (&ObjectType, &End), (to, other): (&ObjectType, &End)) -> Value {
    json!({
        "fromObjectTypeId": from.id,
        "fromObjectId": one.id,
        "toObjectTypeId": to.id,
        "toObjectId": other.id,
        "labels": [],
    })
}

impl Portal {
    /// `…/associations/{from}/{to}/…`.
    pub(crate) fn association_batches(
        &mut self,
        context: &Context<'_>,
        (from, to): Types,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        match (context.request.method.as_str(), rest) {
            ("POST", ["batch", "create"]) => self.link_all(context, (from, to), 201),
            ("POST", ["batch", "associate", "default"]) => self.link_all(context, (from, to), 200),
            ("POST", ["batch", "read"]) => self.read_links(context, (from, to)),
            ("POST", ["batch", "archive"]) => {
                let Inputs { inputs }: Inputs<UnlinkInput> = context.request.json()?;
                check_count(inputs.len(), WRITES_MAX)?;
                for UnlinkInput { from: one, to: others } in inputs {
                    for other in others {
                        self.unlink_named((from, &one.id), (to, &other.id));
                    }
                }
                Ok(Answer::empty(204))
            }
            ("POST", ["batch", "labels", "archive"]) => {
                let Inputs { inputs }: Inputs<LinkInput> = context.request.json()?;
                check_count(inputs.len(), WRITES_MAX)?;
                for LinkInput { from: one, to: other, .. } in inputs {
                    self.unlink_named((from, &one.id), (to, &other.id));
                }
                Ok(Answer::empty(204))
            }
            ("GET", ["labels"]) => {
                let Label { association_category, association_type_id } = default_label(from, to);
                let label = json!({
                    "category": association_category, "typeId": association_type_id, "label": null,
                });
                Ok(Answer::json(200, json!({ "results": [label] })))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    /// `…/objects/{type}/{id}/associations/…`.
    pub(crate) fn associations_of(
        &mut self,
        context: &Context<'_>,
        (kind, id): (&'static ObjectType, &str),
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        let other = |name: &str| object_type(name).ok_or_else(Refusal::not_found);
        match (context.request.method.as_str(), rest) {
            ("GET", [to]) => {
                let from = self.end(kind, id, "FROM")?;
                let results = self.associations.of(&from, other(to)?);
                Ok(Answer::json(200, json!({ "results": results })))
            }
            ("PUT", ["default", to, to_id]) => {
                let to = other(to)?;
                self.link_named((kind, id), (to, to_id), &[default_label(kind, to)])?;
                Ok(Answer::json(200, json!({ "status": "COMPLETE", "results": [] })))
            }
            ("PUT", [to, to_id]) => {
                let labels: Vec<Label> = context.request.json()?;
                let result = self.link_named((kind, id), (other(to)?, to_id), &labels)?;
                Ok(Answer::json(201, result))
            }
            ("DELETE", [to, to_id]) => {
                self.unlink_named((kind, id), (other(to)?, to_id));
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::not_found()),
        }
    }

    /// Makes what a new record brought along; the types of the other ends are told by the labels.
    pub(crate) fn link_new(
        &mut self,
        kind: &'static ObjectType,
        id: u64,
        links: &[NewLink],
    ) -> Result<(), Refusal> {
        for NewLink { to, types } in links {
            for label in types {
                let of_type = |(_, _, id): &&(&str, &str, u32)| *id == label.association_type_id;
                let to_kind = DEFAULTS.iter().find(of_type).and_then(|(_, to, _)| object_type(to));
                let to_kind = to_kind.ok_or_else(|| {
                    Refusal::invalid("No association type with that id exists for this object")
                })?;
                let labels = std::slice::from_ref(label);
                self.link_named((kind, &id.to_string()), (to_kind, &to.id), labels)?;
            }
        }
        Ok(())
    }

    fn link_all(
        &mut self,
        context: &Context<'_>,
        (from, to): Types,
        status: u16,
    ) -> Result<Answer, Refusal> {
        let Inputs { inputs }: Inputs<LinkInput> = context.request.json()?;
        check_count(inputs.len(), WRITES_MAX)?;
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for LinkInput { from: one, to: other, types } in inputs {
            let labels = if types.is_empty() { vec![default_label(from, to)] } else { types };
            match self.link_named((from, &one.id), (to, &other.id), &labels) {
                Ok(result) => results.push(result),
                Err(refusal) => errors.push(refusal.item(None)),
            }
        }
        Ok(envelope(context, status, results, errors))
    }

    fn read_links(&mut self, context: &Context<'_>, (from, to): Types) -> Result<Answer, Refusal> {
        let Inputs { inputs }: Inputs<Named> = context.request.json()?;
        check_count(inputs.len(), READS_MAX)?;
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for Named { id } in inputs {
            match self.end(from, &id, "FROM") {
                Ok(end) => {
                    let others = self.associations.of(&end, to);
                    results.push(json!({ "from": { "id": id }, "to": others }));
                }
                Err(refusal) => errors.push(refusal.item(None)),
            }
        }
        Ok(envelope(context, 200, results, errors))
    }

    fn link_named(
        &mut self,
        (from, one): (&'static ObjectType, &str),
        (to, other): (&'static ObjectType, &str),
        labels: &[Label],
    ) -> Result<Value, Refusal> {
        let one = self.end(from, one, "FROM")?;
        let other = self.end(to, other, "TO")?;
        for label in labels {
            self.associations.link(&one, &other, label);
        }
        Ok(linked((from, &one), (to, &other)))
    }

    /// What is not there is not associated either.
    fn unlink_named(
        &mut self,
        (from, one): (&'static ObjectType, &str),
        (to, other): (&'static ObjectType, &str),
    ) {
        if let (Ok(one), Ok(other)) = (self.end(from, one, "FROM"), self.end(to, other, "TO")) {
            self.associations.unlink(&one, &other);
        }
    }

    /// The living record with this id; `side` names it in the refusal.
    fn end(&mut self, kind: &'static ObjectType, id: &str, side: &str) -> Result<End, Refusal> {
        let found = self.holding(kind).table.find(None, id).map(|record| record.id);
        let end = found.map(|id| End { kind: kind.id.to_owned(), id });
        end.ok_or_else(|| {
            let message = format!("No {} with ID {id} exists", kind.singular);
            Refusal::new(404, "OBJECT_NOT_FOUND", message)
                .with_context(
                    "subCategory",
                    vec![format!("crm.associations.{side}_OBJECT_NOT_FOUND")],
                )
                .with_context("objectType", vec![kind.label()])
                .with_context("id", vec![id.to_owned()])
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::wire::Request;
    use crate::{Options, Scopes, Settings, Token};

    struct Client(crate::HubSpot);

    impl Client {
        fn new() -> Self {
            let hubspot = crate::HubSpot::open(Options {
                folder: None,
                clock: rollcall_local_kit::LocalClock::new(),
                base_url: "http://localhost".to_owned(),
                tokens: vec![Token { value: "key".to_owned(), scopes: Scopes::All }],
                settings: Settings::default(),
            });
            Self(hubspot.unwrap())
        }

        #[track_caller]
        fn call(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
            let request = Request {
                method: method.to_owned(),
                path: path.to_owned(),
                query: String::new(),
                authorization: Some("Bearer key".to_owned()),
                trace_id: None,
                body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            };
            let now = Timestamp::from_second(1).unwrap();
            let answer = self.0.portal().exchange(&request, now).answer.unwrap();
            assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
            answer.body.unwrap_or_default()
        }

        fn make(&self, kind: &str, associations: &Value) -> String {
            let body = json!({ "properties": {}, "associations": associations });
            let made = self.call("POST", &format!("/crm/v3/objects/{kind}"), &body, 201);
            made["id"].as_str().unwrap().to_owned()
        }

        fn of(&self, path: &str) -> Vec<u64> {
            let found = self.call("GET", path, &Value::Null, 200);
            let results = found["results"].as_array().unwrap().clone();
            results.iter().map(|result| result["toObjectId"].as_u64().unwrap()).collect()
        }
    }

    #[test]
    fn an_association_is_seen_from_both_ends_and_by_both_families() {
        let client = Client::new();
        let (contact, company) =
            (client.make("contacts", &json!([])), client.make("companies", &json!([])));
        let (one, other): (u64, u64) = (contact.parse().unwrap(), company.parse().unwrap());
        let there = format!("/crm/v4/objects/contacts/{contact}/associations");
        let back = format!("/crm/objects/2026-09/companies/{company}/associations/contacts");
        client.call("PUT", &format!("{there}/default/companies/{company}"), &Value::Null, 200);
        assert_eq!(
            (client.of(&format!("{there}/companies")), client.of(&back)),
            (vec![other], vec![one])
        );
        client.call("DELETE", &format!("{there}/companies/{company}"), &Value::Null, 204);
        assert_eq!((client.of(&format!("{there}/companies")), client.of(&back)), (vec![], vec![]));
        let label = json!([{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279 }]);
        client.call("PUT", &format!("{there}/companies/{company}"), &label, 201);
        let new = json!([{ "to": { "id": company }, "types": label }]);
        let second = client.make("contacts", &new);
        assert_eq!(client.of(&back), [one, second.parse().unwrap()]);
        // Who is merged takes along what they had.
        let merge = json!({ "primaryObjectId": contact, "objectIdToMerge": second });
        let survivor = client.call("POST", "/crm/v3/objects/contacts/merge", &merge, 200);
        let survivor: u64 = survivor["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(client.of(&back), [survivor]);
    }

    #[test]
    fn a_batch_tells_good_inputs_from_bad_ones() {
        let client = Client::new();
        let (contact, company) =
            (client.make("contacts", &json!([])), client.make("companies", &json!([])));
        let link = |to: &str| json!({ "from": { "id": contact }, "to": { "id": to } });
        for family in ["/crm/v4/associations", "/crm/associations/2026-09"] {
            let path = format!("{family}/contacts/companies/batch");
            let inputs = json!({ "inputs": [link(&company), link("999")] });
            let made = client.call("POST", &format!("{path}/associate/default"), &inputs, 207);
            assert_eq!(
                (made["results"].as_array().unwrap().len(), &made["numErrors"]),
                (1, &json!(1))
            );
            let read = json!({ "inputs": [{ "id": contact }] });
            let found = client.call("POST", &format!("{path}/read"), &read, 200);
            assert_eq!(found["results"][0]["to"][0]["associationTypes"][0]["typeId"], 279);
            let archive =
                json!({ "inputs": [{ "from": { "id": contact }, "to": [{ "id": company }] }] });
            client.call("POST", &format!("{path}/archive"), &archive, 204);
            let found = client.call("POST", &format!("{path}/read"), &read, 200);
            assert_eq!(found["results"][0]["to"], json!([]));
        }
    }
}
