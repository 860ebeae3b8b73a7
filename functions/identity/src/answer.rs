//! What the provider's answer says, read from the query of the callback (RFC 6749 §4.1.2).

use rollcall_domain::secret::Secret;
use rollcall_edge::Response;

/// Bytes of a code; the longest in use are below 2 KiB.
const CODE_BYTES_MAX: usize = 4096;
/// Bytes of a `state`; ours have 43.
const STATE_BYTES_MAX: usize = 128;

/// Codes of refusals (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6), so that what is logged is
/// never what somebody typed into a URL.
const REFUSALS: [&str; 14] = [
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "login_required",
    "registration_not_supported",
    "request_not_supported",
    "request_uri_not_supported",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
];

/// A good answer of the provider. It proves nothing yet.
pub(crate) struct Answer {
    /// What the provider gives tokens for.
    pub(crate) code: Secret,
    /// Which sign-in comes back.
    pub(crate) state: String,
    /// Which provider says it is the one (RFC 9207).
    pub(crate) issuer: Option<String>,
}

/// Why there is no answer to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// The person, or who decides for them, said no.
    #[error("the sign-in was cancelled at the provider")]
    Cancelled,
    /// The provider signed nobody in.
    #[error("the provider refused the sign-in: {code}")]
    Refused {
        /// Its reason, if it is one that the standards know.
        code: &'static str,
    },
    /// Neither an answer nor a refusal.
    #[error("the code or the state is missing or too long")]
    Unreadable,
}

impl Answer {
    /// Reads the answer; `parameter` gives a parameter's value if it came exactly once (RFC 6749
    /// §3.1: none may come twice).
    ///
    /// A refusal needs no proof of where it comes from: it changes nothing but this one page.
    pub(crate) fn read(parameter: impl Fn(&str) -> Option<String>) -> Result<Self, AnswerError> {
        if let Some(error) = parameter("error") {
            return Err(AnswerError::of_code(&error));
        }
        let bounded = |name, bytes_max| {
            let value = parameter(name).filter(|value| (1..=bytes_max).contains(&value.len()));
            value.ok_or(AnswerError::Unreadable)
        };
        Ok(Self {
            code: Secret::new(bounded("code", CODE_BYTES_MAX)?),
            state: bounded("state", STATE_BYTES_MAX)?,
            issuer: parameter("iss"),
        })
    }
}

impl AnswerError {
    fn of_code(code: &str) -> Self {
        if code == "access_denied" {
            return Self::Cancelled;
        }
        let known = REFUSALS.into_iter().find(|known| *known == code);
        Self::Refused { code: known.unwrap_or("a code that is not in the standards") }
    }

    /// What the person reads.
    pub(crate) fn page(self) -> Response {
        match self {
            Self::Cancelled => {
                tracing::info!(error = %self, "nobody is signed in");
                Response::page(
                    400,
                    "You are not signed in",
                    "The sign-in was cancelled. You can begin again whenever you like.",
                )
            }
            Self::Refused { .. } => {
                tracing::warn!(error = %self, "nobody is signed in");
                Response::page(
                    400,
                    "The sign-in did not work",
                    "The sign-in service could not sign you in. Please try again; if it does not \
                     work then either, tell us.",
                )
            }
            Self::Unreadable => {
                tracing::info!(error = %self, "nobody is signed in");
                Response::page(
                    400,
                    "This link does not work",
                    "It is not complete. Please sign in again.",
                )
            }
        }
    }
}
