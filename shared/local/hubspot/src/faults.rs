//! Faults on demand: what HubSpot, or the network before it, does wrong in the next calls.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A property whose writes are refused with a text of the test's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedProperty {
    pub(crate) name: String,
    pub(crate) message: String,
}

/// The way in which a call goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Only `delay_ms`: a right answer that comes late.
    Delay,
    /// This status instead of doing anything; the call counts against the limits.
    Status {
        status: u16,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// The connection closes and nothing was done.
    DropBefore,
    /// Everything was done, then the connection closes.
    DropAfterCommit,
    /// The answer of a success, and nothing was done.
    SilentNoOp,
    /// The inputs of a batch at `indices` fail.
    PartialAt {
        indices: Vec<usize>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        message: Option<String>,
    },
    /// A batch answers `status` (200 unless given) with neither results nor errors; nothing was
    /// done.
    EmptyResults {
        #[serde(default)]
        status: Option<u16>,
    },
    /// HubSpot is away: `status` answers, or without one the connection closes. Nothing is counted.
    Outage {
        #[serde(default)]
        status: Option<u16>,
    },
    /// Writes of one property are refused.
    RefuseProperty(RefusedProperty),
}

/// A fault as it is set through `POST /_emulator/faults`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Beginning of the path; each `*` stands for any text, so `*batch/upsert` is that call in
    /// every path family.
    #[serde(default = "everywhere")]
    route: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    delay_ms: u64,
    /// How many more calls it hits; until removed when absent.
    #[serde(default)]
    count: Option<u32>,
    #[serde(flatten)]
    kind: Kind,
}

fn everywhere() -> String {
    "*".to_owned()
}

impl Fault {
    /// Reads a fault; a field that means nothing is an error rather than a silent misspelling.
    pub(crate) fn parse(body: &Value) -> Result<Self, String> {
        let fault: Self =
            serde_json::from_value(body.clone()).map_err(|error| error.to_string())?;
        let known = json!(fault);
        let unknown = body
            .as_object()
            .and_then(|fields| fields.keys().find(|field| known.get(field).is_none()));
        match unknown {
            Some(field) => Err(format!("unknown field {field}")),
            None => Ok(fault),
        }
    }

    fn hits(&self, method: &str, path: &str) -> bool {
        if self.method.as_deref().is_some_and(|wanted| wanted != method) {
            return false;
        }
        let mut pieces = self.route.split('*');
        let Some(rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else {
            return false;
        };
        let found = pieces.try_fold(rest, |rest, piece| {
            rest.find(piece).and_then(|at| rest.get(at + piece.len()..))
        });
        found.is_some()
    }
}

/// How a call ends that does not come through to HubSpot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// The connection closes.
    Closes,
    /// Something in between answers with this status.
    Answers(u16),
}

/// What the faults that hit one call amount to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    /// The call does not come through to HubSpot.
    pub(crate) unreachable: Option<Unreachable>,
    pub(crate) answer: Option<(u16, BTreeMap<String, String>, Option<Value>)>,
    /// Index of an input, category and message of its failure.
    pub(crate) partial: BTreeMap<usize, (String, String)>,
    pub(crate) refused: Vec<RefusedProperty>,
    pub(crate) empty_results: Option<u16>,
    pub(crate) no_op: bool,
    pub(crate) drop_after: bool,
    /// Whether any fault hit the call.
    pub(crate) hit: bool,
}

impl Plan {
    fn add(&mut self, kind: &Kind) {
        match kind {
            Kind::Delay => {}
            Kind::Status { status, body, headers } => {
                self.answer = Some((*status, headers.clone(), body.clone()));
            }
            Kind::DropBefore => self.unreachable = Some(Unreachable::Closes),
            Kind::Outage { status } => {
                let answers = status.map(Unreachable::Answers);
                self.unreachable = Some(answers.unwrap_or(Unreachable::Closes));
            }
            Kind::DropAfterCommit => self.drop_after = true,
            Kind::SilentNoOp => self.no_op = true,
            Kind::EmptyResults { status } => {
                self.empty_results = Some(status.unwrap_or(200));
                self.no_op = true;
            }
            Kind::RefuseProperty(refused) => self.refused.push(refused.clone()),
            Kind::PartialAt { indices, category, message } => {
                let category = category.clone().unwrap_or_else(|| "VALIDATION_ERROR".to_owned());
                let message = message.clone().unwrap_or_else(|| "This input failed".to_owned());
                for index in indices {
                    self.partial.insert(*index, (category.clone(), message.clone()));
                }
            }
        }
    }
}

/// The faults that are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    set: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.set.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    pub(crate) fn json(&self) -> Value {
        json!(self.set)
    }

    /// Takes what hits this call; each such fault has one call less to go.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Plan {
        let mut plan = Plan::default();
        for fault in self.set.iter_mut().filter(|fault| fault.hits(method, path)) {
            plan.hit = true;
            plan.delay = plan.delay.max(Duration::from_millis(fault.delay_ms));
            plan.add(&fault.kind);
            fault.count = fault.count.map(|count| count.saturating_sub(1));
        }
        self.set.retain(|fault| fault.count != Some(0));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(route: &str, path: &str, hits: bool) {
        let fault = Fault::parse(&json!({"route": route, "kind": "drop_before"})).unwrap();
        assert_eq!(fault.hits("POST", path), hits, "{route} {path}");
    }

    #[test]
    fn a_route_is_a_prefix_with_wildcards() {
        check("*", "/crm/v3/objects/contacts", true);
        check("/crm/v3", "/crm/v3/objects/contacts", true);
        check("/crm/v3", "/crm/objects/2026-09/contacts", false);
        check("*contacts/batch", "/crm/objects/2026-09/contacts/batch/read", true);
        check("*companies/batch", "/crm/objects/2026-09/contacts/batch/read", false);
    }

    #[test]
    fn a_counted_fault_ends_by_itself() {
        let mut faults = Faults::default();
        let fault = json!({"kind": "status", "status": 503, "count": 2, "delay_ms": 5});
        faults.add(Fault::parse(&fault).unwrap());
        let hits: Vec<_> = (0..3).map(|_| faults.take("GET", "/").answer.is_some()).collect();
        assert_eq!(hits, [true, true, false]);
    }

    #[test]
    fn a_misspelt_fault_is_refused() {
        for body in [
            json!({"kind": "status", "status": 503, "cuont": 1}),
            json!({"kind": "explode"}),
            json!({"kind": "status"}),
        ] {
            assert!(Fault::parse(&body).is_err(), "{body}");
        }
    }
}
