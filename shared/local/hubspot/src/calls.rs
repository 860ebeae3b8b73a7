//! The log of every call, and of what no well-behaved client does.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::limits::Policy;

/// What kind of credential a call came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A private app's or service key's token; does not expire.
    PrivateApp,
    /// An OAuth access token.
    OAuth,
}

/// One call as it arrived and as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Position in the log, from 1.
    pub number: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without question mark.
    pub query: String,
    /// What the caller follows its calls by, if it said so.
    pub trace_id: Option<String>,
    /// Kind of token; `None` when there was no known one.
    pub token: Option<TokenKind>,
    /// Limits it was counted against; empty when it was not accepted.
    pub counted: Vec<Policy>,
    /// The limit it was over.
    pub limited_by: Option<Policy>,
    /// Whether a fault that was set on purpose hit it.
    pub faulty: bool,
    /// Status of the answer; `None` when the connection was closed without one.
    pub status: Option<u16>,
    /// Body of the request.
    pub body: String,
    /// Body of the answer; empty when there was none.
    pub answer: String,
}

impl Call {
    /// The body of the request as JSON; null when it is none.
    pub fn body_json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The body of the answer as JSON; null when it is none.
    pub fn answer_json(&self) -> Value {
        serde_json::from_str(&self.answer).unwrap_or_default()
    }

    /// `objectWriteTraceId` of each input of a batch.
    pub fn trace_ids(&self) -> Vec<String> {
        texts(&self.body_json(), "objectWriteTraceId")
    }

    /// `id` of each input of a batch.
    pub fn ids(&self) -> Vec<String> {
        texts(&self.body_json(), "id")
    }

    pub(crate) fn json(&self) -> Value {
        let body = self.body_json();
        json!({
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "trace_id": self.trace_id,
            "token": self.token,
            "counted": self.counted,
            "limited_by": self.limited_by,
            "faulty": self.faulty,
            "status": self.status,
            "trace_ids": texts(&body, "objectWriteTraceId"),
            "ids": texts(&body, "id"),
            "body": body,
            "answer": self.answer_json(),
        })
    }
}

fn texts(body: &Value, field: &str) -> Vec<String> {
    let inputs = body.get("inputs").and_then(Value::as_array);
    inputs
        .into_iter()
        .flatten()
        .filter_map(|input| input.get(field)?.as_str().map(str::to_owned))
        .collect()
}

/// Something a well-behaved client does not do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Position of the call in the log.
    pub call: u64,
    /// When.
    pub at: Timestamp,
    /// Method and path.
    pub route: String,
    /// What.
    #[serde(flatten)]
    pub kind: ViolationKind,
}

/// Kinds of violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ViolationKind {
    /// The call was over a limit and got 429.
    RateLimited {
        /// Which limit.
        policy: Policy,
    },
    /// The call writes properties that have no definition.
    UnknownProperties {
        /// Their names.
        names: Vec<String>,
    },
    /// The call came without a valid token, or without the scope it needs.
    Unauthorized {
        /// 401 or 403.
        status: u16,
    },
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    calls: VecDeque<Call>,
    violations: VecDeque<Violation>,
    last_number: u64,
}

impl Log {
    pub(crate) fn push(&mut self, mut call: Call, kept: usize) -> u64 {
        self.last_number += 1;
        call.number = self.last_number;
        self.calls.push_back(call);
        while self.calls.len() > kept {
            self.calls.pop_front();
        }
        self.last_number
    }

    pub(crate) fn violate(&mut self, violation: Violation, kept: usize) {
        self.violations.push_back(violation);
        while self.violations.len() > kept {
            self.violations.pop_front();
        }
    }

    /// The calls after number `after`, oldest first.
    pub(crate) fn calls(&self, after: u64) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.number > after)
    }

    pub(crate) fn violations(&self) -> &VecDeque<Violation> {
        &self.violations
    }
}
