//! Identity and access management: who a request comes from, and whether a policy allows it.
//!
//! Only what Rollcall's policies use: `Allow` statements with exact actions, and resources that may
//! end in `*`. Everything not allowed is denied, as IAM does. Requests are attributed by the access
//! key id in their SigV4 `Authorization` header; each local function process gets a key of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// The access key id of the operator of a local cloud: the developer at the keyboard, tests, and
/// tools such as the AWS command line. May do everything.
pub const OPERATOR_ACCESS_KEY_ID: &str = "local";

/// One `Allow` statement of a policy, in IAM's own JSON shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Always `Allow`.
    pub effect: String,
    /// Actions such as `dynamodb:GetItem`, named one by one.
    pub action: Vec<String>,
    /// ARNs; a trailing `*` matches any remainder.
    pub resource: Vec<String>,
}

impl Statement {
    /// A statement that allows `actions` on `resources`.
    pub fn allow(actions: Vec<String>, resources: Vec<String>) -> Self {
        Self { effect: "Allow".to_owned(), action: actions, resource: resources }
    }

    fn allows(&self, action: &str, resource: &str) -> bool {
        self.effect == "Allow"
            && self.action.iter().any(|allowed| allowed == action)
            && self.resource.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => resource.starts_with(prefix),
                None => pattern == resource,
            })
    }
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// May do everything.
    Operator,
    /// A function, by name; may do what its statements allow.
    Function(String),
}

/// A request that no statement allows. Its text follows AWS's `AccessDeniedException`.
#[derive(Debug, thiserror::Error)]
#[error("User: {principal} is not authorized to perform: {action} on resource: {resource}")]
pub struct Denied {
    /// The function, or `anonymous`.
    pub principal: String,
    /// The action that was asked for.
    pub action: String,
    /// The ARN it was asked on.
    pub resource: String,
}

/// One use of a permission, as recorded for the check that no declared grant is idle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// Function name.
    pub function: String,
    /// Action such as `sqs:SendMessage`.
    pub action: String,
    /// Full ARN.
    pub resource: String,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<String, String>,
    policies: BTreeMap<String, Vec<Statement>>,
    uses: BTreeMap<Use, AtomicU64>,
    denials: Vec<Use>,
}

/// The IAM of one local cloud. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Iam {
    state: Arc<RwLock<State>>,
}

impl Iam {
    /// No function known yet; only the operator may act.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what `function` may do.
    pub fn set_policy(&self, function: &str, statements: Vec<Statement>) {
        self.write(|state| state.policies.insert(function.to_owned(), statements));
    }

    /// Makes `access_key_id` act as `function`.
    pub fn add_key(&self, access_key_id: &str, function: &str) {
        self.write(|state| state.keys.insert(access_key_id.to_owned(), function.to_owned()));
    }

    /// Forgets a key, when the process that held it has ended.
    pub fn remove_key(&self, access_key_id: &str) {
        self.write(|state| state.keys.remove(access_key_id));
    }

    /// Who signed the request, by the `Credential=` of its `Authorization` header; `None` when it
    /// is unsigned or the key is unknown.
    pub fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let access_key_id = access_key_id(headers)?;
        if access_key_id == OPERATOR_ACCESS_KEY_ID {
            return Some(Principal::Operator);
        }
        self.read(|state| state.keys.get(access_key_id).cloned()).map(Principal::Function)
    }

    /// Allows or denies one action on one ARN, and records which.
    pub fn authorize(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
    ) -> Result<(), Denied> {
        let Principal::Function(function) = principal else {
            return Ok(());
        };
        let asked = Use {
            function: function.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
        };
        let (allowed, known) = self.read(|state| {
            let allowed = state
                .policies
                .get(function)
                .is_some_and(|statements| statements.iter().any(|s| s.allows(action, resource)));
            let count = state.uses.get(&asked).filter(|_| allowed);
            (allowed, count.map(|count| count.fetch_add(1, Ordering::Relaxed)).is_some())
        });
        if !known {
            self.write(|state| {
                if allowed {
                    *state.uses.entry(asked).or_default().get_mut() += 1;
                } else {
                    state.denials.push(asked);
                }
            });
        }
        if allowed {
            return Ok(());
        }
        Err(Denied {
            principal: format!("arn:aws:sts::000000000000:assumed-role/{function}"),
            action: action.to_owned(),
            resource: resource.to_owned(),
        })
    }

    /// Every permission that was used so far.
    pub fn uses(&self) -> BTreeSet<Use> {
        self.read(|state| state.uses.keys().cloned().collect())
    }

    /// How often `function` was allowed `action` so far, on any resource whose ARN ends in `end`.
    pub fn count(&self, function: &str, action: &str, end: &str) -> u64 {
        self.read(|state| {
            let uses = state.uses.iter().filter(|(used, _)| {
                used.function == function && used.action == action && used.resource.ends_with(end)
            });
            uses.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
        })
    }

    /// Every request that was denied so far, oldest first.
    pub fn denials(&self) -> Vec<Use> {
        self.read(|state| state.denials.clone())
    }

    fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The access key id of a SigV4 `Authorization` header:
/// `AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/<service>/aws4_request, …`.
pub fn access_key_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, rest) = value.split_once("Credential=")?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(action: &str, resource: &str, allowed: bool) {
        let iam = Iam::new();
        iam.set_policy(
            "enroll",
            vec![Statement::allow(
                vec!["dynamodb:GetItem".to_owned()],
                vec!["arn:t/users".to_owned(), "arn:t/users/stream/*".to_owned()],
            )],
        );
        let principal = Principal::Function("enroll".to_owned());
        assert_eq!(
            iam.authorize(&principal, action, resource).is_ok(),
            allowed,
            "{action} {resource}"
        );
        assert_eq!(iam.uses().is_empty(), !allowed);
        assert_eq!(iam.denials().is_empty(), allowed);
    }

    #[test]
    fn only_what_a_statement_names_is_allowed() {
        check("dynamodb:GetItem", "arn:t/users", true);
        check("dynamodb:GetItem", "arn:t/users/stream/2026", true);
        check("dynamodb:GetItem", "arn:t/users/index/due", false);
        check("dynamodb:PutItem", "arn:t/users", false);
        check("dynamodb:GetItem", "arn:t/enrollments", false);
    }

    #[test]
    fn a_request_is_attributed_by_its_access_key() {
        let iam = Iam::new();
        iam.add_key("AKIA1", "enroll");
        let mut headers = HeaderMap::new();
        assert_eq!(iam.principal(&headers), None);
        let value = "AWS4-HMAC-SHA256 Credential=AKIA1/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(iam.principal(&headers), Some(Principal::Function("enroll".to_owned())));
        iam.remove_key("AKIA1");
        assert_eq!(iam.principal(&headers), None);
    }
}
