//! What a function declares: everything the outside needs to know about it, as data.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_domain::rate_limit::Limit;
use rollcall_domain::role::Role;
use rollcall_domain::route_group;
use rollcall_domain::scope::Scope;
use rollcall_resources::{Grant, Queue, Resource, Table};
use rollcall_store::Capability;
use rollcall_store::flags::FlagReader;
use rollcall_store::idempotency::IdempotencyKeys;
use rollcall_store::rate_limits::RateCounter;
use serde::Serialize;

use crate::invocation::Handler;
use crate::openapi::Schema;
use crate::settings::{RATE_LIMIT_FACTOR, STAGE, Setting};
use crate::startup::{Startup, StartupError};

/// One Lambda function.
#[derive(Debug)]
pub struct Function {
    /// The one name: file, program, CDK id, log `service`, metric dimension, sample event.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub purpose: &'static str,
    /// What invokes it.
    pub triggers: &'static [Trigger],
    /// Who may call its routes.
    pub access: Access,
    /// How often its routes may be called.
    pub rate: RateClass,
    /// Whether its routes take an `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// What its own code may do to which resource.
    pub grants: &'static [&'static [Grant]],
    /// Variables that its own code reads.
    pub settings: &'static [&'static Setting],
    /// What the wrapper around its handler needs.
    pub wrapper: Wrapper,
    /// What its routes take and answer, for the OpenAPI document.
    pub operation: Operation,
    /// Memory, in MB; CPU comes in proportion.
    pub memory_mb: u32,
    /// When Lambda kills an invocation.
    pub timeout_seconds: u32,
    /// How many may run at once, where that must be bounded.
    pub reserved_concurrency: Option<u32>,
    /// Largest request body of its routes.
    pub body_bytes_max: usize,
    /// Whether its routes take what an HTML form posts, beside JSON.
    pub takes_forms: bool,
    /// Prepares the handler, once per process.
    pub start: fn(&Startup) -> Result<Handler, StartupError>,
}

/// What a wrapper around handlers needs by itself.
#[derive(Clone, Copy, Debug)]
pub struct Wrapper {
    /// Permissions.
    pub grants: &'static [&'static [Grant]],
    /// Variables.
    pub settings: &'static [&'static Setting],
}

/// What invokes a function.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// A route of the HTTP API.
    Http(Route),
    /// A table's stream.
    Stream(StreamTrigger),
    /// A queue.
    Queue(QueueTrigger),
    /// Time.
    Schedule {
        /// Minutes between two invocations.
        every_minutes: u32,
    },
    /// The user pool, if the identity provider is Cognito.
    Cognito(CognitoTrigger),
}

/// When a user pool calls a function ("Customizing user pool workflows with Lambda triggers"). The
/// answer is the event with its `response` filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CognitoTrigger {
    /// Somebody has proven their address. What fails here is shown to them, although the account is
    /// made; a function that must not be in the way never fails.
    PostConfirmation,
    /// Tokens are about to be made; events of version `V2_0`. Who fails here keeps people out.
    PreTokenGeneration,
}

impl CognitoTrigger {
    /// The name in generated files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostConfirmation => "post-confirmation",
            Self::PreTokenGeneration => "pre-token-generation",
        }
    }
}

/// A method and a path such as `/courses/{slug}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path; parts in braces are parameters.
    pub path: &'static str,
}

/// HTTP methods in use (RFC 9110 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Safe.
    Get,
    /// Creates or acts.
    Post,
    /// Idempotent replacement or creation.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// How a function takes a table's stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamTrigger {
    /// The table.
    pub table: Table,
    /// Records of one invocation at most.
    pub batch_size: u32,
    /// How long Lambda waits for a batch to fill, in seconds.
    pub batch_window_seconds: u32,
    /// Batches of one shard that may run at once; one key stays in order.
    pub parallelization_factor: u32,
    /// How often a failed batch is tried again.
    pub retry_attempts_max: u32,
    /// How old a record may become, in seconds.
    pub record_age_seconds_max: u32,
    /// Where Lambda reports what it gave up.
    pub failure_queue: Queue,
}

/// How a function takes a queue's messages.
#[derive(Clone, Copy, Debug)]
pub struct QueueTrigger {
    /// The queue.
    pub queue: Queue,
    /// Messages of one invocation at most.
    pub batch_size: u32,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No HTTP route.
    Internal,
    /// Everybody.
    Public,
    /// Everybody who is signed in in a browser. Tokens mean nothing here, since what the route is
    /// about is the browser's session.
    Session,
    /// Every user, by a session or an access token.
    User,
    /// Users with this role.
    Role(Role),
    /// Users with this role, and machines whose token has this scope.
    Operator {
        /// What users need.
        role: Role,
        /// What machines need.
        scope: Scope,
    },
}

impl Access {
    /// Whether nobody gets in whom the function does not know.
    pub const fn is_closed(self) -> bool {
        match self {
            Self::Internal | Self::Public => false,
            Self::Session | Self::User | Self::Role(_) | Self::Operator { .. } => true,
        }
    }

    /// The access as it stands in generated files.
    pub fn label(self) -> String {
        match self {
            Self::Internal => "internal".to_owned(),
            Self::Public => "public".to_owned(),
            Self::Session => "session".to_owned(),
            Self::User => "user".to_owned(),
            Self::Role(role) => format!("role({role})"),
            Self::Operator { role, scope } => format!("role({role}) or scope({scope})"),
        }
    }
}

/// How often routes may be called within any minute. Counted are calls of one user or machine where
/// the route knows its callers, and of one address where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateClass {
    /// Routes that everybody may call: 30, all of them together.
    Anonymous,
    /// Routes for signed-in users: 100, all of them together.
    User,
    /// Routes that take or make credentials, or that hand out something of worth: 5, each function
    /// by itself. Nobody is admitted while the counters cannot be reached.
    Credential,
    /// Routes that a system of somebody else calls, all its customers' news from few addresses, and
    /// whose requests are signed: 6 000.
    Signed,
}

impl RateClass {
    /// How many calls are admitted.
    pub const fn limit(self) -> Limit {
        match self {
            Self::Anonymous => Limit { admissions_max: 30 },
            Self::User => Limit { admissions_max: 100 },
            Self::Credential => Limit { admissions_max: 5 },
            Self::Signed => Limit { admissions_max: 6_000 },
        }
    }

    /// What is counted together, and the policy's name in answers.
    pub const fn policy(self, function: &'static str) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User => "user",
            Self::Credential | Self::Signed => function,
        }
    }

    /// Whether nobody is admitted while the counters cannot be reached.
    pub const fn fails_closed(self) -> bool {
        matches!(self, Self::Credential)
    }
}

/// Whether a route takes an `Idempotency-Key`, and so gives a repeated request its first answer.
///
/// The answer is kept after the effect, not with it. When a process dies between the two, a
/// repetition runs the handler again, so the effect of a handler must be idempotent by the state it
/// leaves; each function that takes keys says in its description why its effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The header means nothing.
    None,
    /// With the header a repetition is answered as the first request was.
    Optional,
    /// A request without the header is refused.
    Required,
}

/// What a route takes and answers.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The request body.
    pub request: Option<Schema>,
    /// Query parameters.
    pub query: &'static [Parameter],
    /// The status of success.
    pub success_status: u16,
    /// The answer of success.
    pub response: Option<Schema>,
    /// The problems that the handler itself may answer with.
    pub problems: &'static [&'static ProblemKind],
}

impl Operation {
    /// Nothing in, 204 out.
    pub const EMPTY: Self =
        Self { request: None, query: &[], success_status: 204, response: None, problems: &[] };
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
}

/// One way in which a request fails, as callers see it (RFC 9457).
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The stable name, kebab-case.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened, the same for every occurrence.
    pub title: &'static str,
    /// What the caller should do.
    pub advice: &'static str,
}

/// What browsers may send to the HTTP API from other origins, and read of its answers (the CORS
/// protocol of the Fetch standard). The gateway answers preflights by this; no function does.
pub struct Cors {
    /// Methods.
    pub methods: &'static [Method],
    /// Request headers.
    pub request_headers: &'static [&'static str],
    /// Response headers that scripts may read.
    pub response_headers: &'static [&'static str],
    /// How long browsers may keep a preflight answer.
    pub max_age_seconds: u32,
}

/// The one CORS policy. Which origins it is for differs by stage.
pub const CORS: Cors = Cors {
    methods: &[Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete],
    request_headers: &[
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "traceparent",
        "x-csrf-token",
    ],
    response_headers: &["etag", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"],
    max_age_seconds: 600,
};

/// Time-out of functions behind the HTTP API, below the API's own limit of 30 s.
pub const HTTP_TIMEOUT_SECONDS: u32 = 29;
/// Time-out of functions that a user pool calls: it waits no longer, and calls three times.
pub const COGNITO_TIMEOUT_SECONDS: u32 = 5;
/// Time-out of functions behind streams, queues and schedules.
pub const EVENT_TIMEOUT_SECONDS: u32 = 60;
/// Memory of a function unless it says otherwise.
pub const MEMORY_MB: u32 = 256;

impl Function {
    /// What functions behind streams, queues and schedules have in common.
    pub const EVENT: Self = Self {
        name: "",
        purpose: "",
        triggers: &[],
        access: Access::Internal,
        rate: RateClass::Anonymous,
        idempotency: Idempotency::None,
        grants: &[],
        settings: &[],
        wrapper: Wrapper { grants: &[], settings: &[] },
        operation: Operation::EMPTY,
        memory_mb: MEMORY_MB,
        timeout_seconds: EVENT_TIMEOUT_SECONDS,
        reserved_concurrency: None,
        body_bytes_max: 0,
        takes_forms: false,
        start: |_| Err(StartupError::NoHandler),
    };

    /// Its routes.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Http(route) => Some(*route),
            Trigger::Stream(_)
            | Trigger::Queue(_)
            | Trigger::Schedule { .. }
            | Trigger::Cognito(_) => None,
        })
    }

    /// Every variable that must be set for it, by name.
    pub fn all_settings(&self) -> Vec<&'static Setting> {
        let mut settings = vec![&STAGE];
        settings.extend(self.routes().next().map(|_| &RATE_LIMIT_FACTOR));
        settings.extend(self.wrapper.settings);
        settings.extend(self.settings);
        settings.sort_by_key(|setting| setting.name);
        settings.dedup_by_key(|setting| setting.name);
        settings
    }

    /// What its code may do, actions by resource.
    pub fn code_grants(&self) -> BTreeMap<Resource, BTreeSet<&'static str>> {
        let mut actions: BTreeMap<Resource, BTreeSet<&'static str>> = BTreeMap::new();
        let edge: &[&[Grant]] = match (self.routes().next(), self.idempotency) {
            (None, _) => &[],
            (Some(_), Idempotency::None) => &[RateCounter::GRANTS],
            (Some(_), Idempotency::Optional | Idempotency::Required) => {
                &[RateCounter::GRANTS, IdempotencyKeys::GRANTS]
            }
        };
        let closes = self.routes().any(|route| route_group::of(route.path).is_some());
        let doors: &[&[Grant]] = if closes { &[FlagReader::GRANTS] } else { &[] };
        let all = edge.iter().chain(doors).chain(self.wrapper.grants).chain(self.grants);
        for grant in all.copied().flatten() {
            actions.entry(grant.resource).or_default().extend(grant.actions);
        }
        actions
    }

    /// What its role may do, actions by resource: its code's grants and those that Lambda needs to
    /// poll on its behalf.
    pub fn role_grants(&self) -> BTreeMap<Resource, BTreeSet<&'static str>> {
        let mut actions = self.code_grants();
        let mut add = |resource, more: &[&'static str]| {
            actions.entry(resource).or_default().extend(more);
        };
        for trigger in self.triggers {
            match trigger {
                Trigger::Stream(stream) => {
                    add(Resource::Stream(stream.table), Grant::stream(stream.table).actions);
                    add(Resource::Stream(stream.table), &["dynamodb:ListStreams"]);
                    add(Resource::Queue(stream.failure_queue), &["sqs:SendMessage"]);
                }
                Trigger::Queue(queue) => add(
                    Resource::Queue(queue.queue),
                    &["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
                ),
                Trigger::Http(_) | Trigger::Schedule { .. } | Trigger::Cognito(_) => {}
            }
        }
        actions
    }
}
