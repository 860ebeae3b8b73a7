//! Problems: every failure a caller sees, in the shape of RFC 9457.
//!
//! A problem holds what the caller may read. Causes go to the log, never into an answer.

use std::fmt;

use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::scope::Scope;
use rollcall_runtime::declaration::ProblemKind;
use rollcall_runtime::invocation::chain;
use schemars::JsonSchema;
use serde::Serialize;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $code:literal, $title:literal, $advice:literal;)*) => {
        $($(#[$doc])* pub static $name: ProblemKind =
            ProblemKind { code: $code, status: $status, title: $title, advice: $advice };)*

        /// Every kind of problem that the edge itself knows.
        pub static ALL: &[&ProblemKind] = &[$(&$name),*];
    };
}

kinds! {
    /// The body is not JSON, or the request is not what the route takes.
    MALFORMED = 400, "malformed-request", "The request cannot be read.", "Correct the request; `detail` says what is wrong with it.";
    /// The header Authorization is there and holds no token that could be looked at.
    INVALID_AUTHORIZATION = 400, "invalid-authorization", "The Authorization of the request cannot be used.", "Send one header of the form Authorization: Bearer and an access token, and no session cookie beside it.";
    /// The access token is not good.
    INVALID_TOKEN = 401, "invalid-token", "The access token is not valid.", "Get a new access token from the identity provider and send the request again.";
    /// Nobody is signed in.
    UNAUTHENTICATED = 401, "unauthenticated", "Unauthorized: Missing access token", "Sign in and send the request again.";
    /// A page of ours did not send this.
    CSRF = 403, "csrf-refused", "The request does not come from a page of ours.", "Get a token from /auth/csrf, send it as X-CSRF-Token, and let the browser send Origin.";
    /// The caller may not do this.
    FORBIDDEN = 403, "forbidden", "You may not do this.", "Ask an administrator for the role that the route needs.";
    /// The route is about a browser's session.
    SESSION_REQUIRED = 403, "session-required", "The route is about a browser's session, and an access token has none.", "Send the session cookie instead of Authorization; end tokens at the identity provider.";
    /// The route is for people.
    USER_REQUIRED = 403, "user-required", "The route is for users, and the access token is a machine's.", "Call it with the token of a person who has an account.";
    /// The machine may not do this.
    INSUFFICIENT_SCOPE = 403, "insufficient-scope", "The access token lacks the scope that the route needs.", "Ask for a token with the scope that WWW-Authenticate names.";
    /// The person has no account here.
    ACCOUNT_REQUIRED = 403, "account-required", "The person whom the access token names has no account.", "Sign in once at /auth/login; that makes the account.";
    /// The account is suspended, or is being erased.
    ACCOUNT_CLOSED = 403, "account-closed", "The account cannot be used.", "Ask an operator why it is suspended; one that is being erased does not come back.";
    /// Not there, or not yours.
    NOT_FOUND = 404, "not-found", "There is no such thing.", "Check the path.";
    /// The route takes no request without an idempotency key.
    KEY_REQUIRED = 400, "idempotency-key-required", "The request needs an Idempotency-Key.", "Send an Idempotency-Key that you have not used before, such as a UUID.";
    /// The state does not allow it.
    CONFLICT = 409, "conflict", "Somebody else changed this at the same time.", "Read the current state and try again.";
    /// Another request with the same idempotency key is being handled.
    IN_PROGRESS = 409, "request-in-progress", "The same request is being handled.", "Send it again, with the same Idempotency-Key, after the time in Retry-After.";
    /// An idempotency key that belongs to another request.
    KEY_REUSED = 409, "idempotency-key-reused", "The Idempotency-Key belongs to another request.", "Make up a new key for every new request; send the same body with the same key.";
    /// The body is too large.
    TOO_LARGE = 413, "body-too-large", "The body is too large.", "Send less in one request.";
    /// The body is not declared as JSON.
    UNSUPPORTED_MEDIA_TYPE = 415, "unsupported-media-type", "The body must be JSON.", "Send Content-Type: application/json.";
    /// A value is not allowed.
    INVALID = 422, "invalid-value", "A value is not allowed.", "Correct the fields that `errors` names.";
    /// Too many requests.
    RATE_LIMITED = 429, "rate-limited", "There were too many requests.", "Wait for the time in Retry-After; RateLimit says how many more are admitted.";
    /// A bug of ours.
    INTERNAL = 500, "internal-error", "Something went wrong on our side.", "Report `instance` to the operator.";
    /// An operator closed the route for a while.
    CLOSED = 503, "closed", "This part of Rollcall is closed for the moment.", "Try again after the time in Retry-After; GET /status says what is open.";
    /// A service we need is away.
    UNAVAILABLE = 503, "unavailable", "A service we need does not answer.", "Try again after the time in Retry-After.";
}

/// One field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or `path:`, `query:` or `header:` and a name.
    pub pointer: String,
    /// What is wrong, stable, kebab-case.
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: String,
}

/// A failure as its caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: &'static ProblemKind,
    /// What is particular about this occurrence.
    pub detail: Option<String>,
    /// Which fields are wrong.
    pub errors: Vec<FieldError>,
    /// When to try again, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// What is wrong with the caller's token, for `WWW-Authenticate`.
    pub challenge: Option<Challenge>,
}

/// What is wrong with a token (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// There is none where one must be, or more than one.
    InvalidRequest,
    /// It is not good, or not any more.
    InvalidToken,
    /// It lacks this scope.
    InsufficientScope(Scope),
}

impl fmt::Display for Challenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest => formatter.write_str("error=\"invalid_request\""),
            Self::InvalidToken => formatter.write_str("error=\"invalid_token\""),
            Self::InsufficientScope(scope) => {
                write!(formatter, "error=\"insufficient_scope\", scope=\"{scope}\"")
            }
        }
    }
}

/// How long callers wait after a failure of a service of ours, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: &'static ProblemKind) -> Self {
        Self { kind, detail: None, errors: Vec::new(), retry_after_seconds: None, challenge: None }
    }

    /// With what is particular about this occurrence.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// A value that is not allowed, and where.
    pub fn invalid(pointer: impl Into<String>, code: &'static str, detail: &impl ToString) -> Self {
        let error = FieldError { pointer: pointer.into(), code, detail: detail.to_string() };
        Self { errors: vec![error], ..Self::new(&INVALID) }
    }

    /// With the time to wait before another try.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// With what is wrong with the caller's token.
    #[must_use]
    pub fn with_challenge(self, challenge: Challenge) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// The answer when a port failed; the cause is logged here, with its whole chain.
    pub fn port(error: &PortError) -> Self {
        let text = chain(error);
        match error.class {
            PortErrorClass::Conflict => {
                tracing::warn!(error = text, "too many writers of one item");
                Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..Self::new(&CONFLICT) }
            }
            PortErrorClass::Throttled | PortErrorClass::Unavailable => {
                tracing::error!(error = text, "a service we need does not answer");
                Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..Self::new(&UNAVAILABLE) }
            }
            PortErrorClass::Rejected | PortErrorClass::Corrupt => {
                tracing::error!(error = text, "a service we need refuses us");
                Self::new(&INTERNAL)
            }
        }
    }
}

/// A problem on the wire.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'problem> {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// What happened, the same for every occurrence.
    pub title: &'problem str,
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the kind.
    pub code: &'problem str,
    /// What is particular about this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'problem str>,
    /// The request's id, for a report.
    pub instance: &'problem str,
    /// Which fields are wrong.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    pub errors: &'problem [FieldError],
}

impl Problem {
    /// The body of the answer to the request `request_id`.
    pub fn body<'problem>(&'problem self, request_id: &'problem str) -> ProblemBody<'problem> {
        ProblemBody {
            problem_type: format!("urn:rollcall:problem:{}", self.kind.code),
            title: self.kind.title,
            status: self.kind.status,
            code: self.kind.code,
            detail: self.detail.as_deref(),
            instance: request_id,
            errors: &self.errors,
        }
    }
}
