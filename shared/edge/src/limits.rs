//! Rate limits: who calls too often waits.
//!
//! Every function with a route has one, by its declaration's rate class. Counted is the caller where
//! the route knows one, and else the address that the gateway took the connection from; callers whom
//! a route turns away count by address as well. Answers say what is left
//! (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! The smallest example is `functions/identity/src/auth_claim.rs`:
//!
//! ```text
//! rate: RateClass::Credential,
//! ```

use std::net::{IpAddr, Ipv6Addr};

use rollcall_domain::port::PortError;
use rollcall_domain::rate_limit::{Limit, RateKey, Verdict, WINDOW_SECONDS};
use rollcall_runtime::declaration::RateClass;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::settings::RATE_LIMIT_FACTOR;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::rate_limits::RateCounter;

use crate::problem::{Problem, RATE_LIMITED};
use crate::request::{Context, HttpRequest};
use crate::response::Response;

/// Counts requests and refuses those that are too many.
pub(crate) struct Limiter {
    counter: RateCounter,
    function: &'static str,
    class: RateClass,
    factor: u32,
}

/// Where a caller stands, as the answer's headers say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    policy: Option<String>,
    left: Option<String>,
}

/// A refused request: the problem and where the caller stands.
pub(crate) type Refusal = (Problem, Standing);

impl Limiter {
    /// The limiter of the function that starts.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let factor = startup.setting(&RATE_LIMIT_FACTOR)?.parse();
        let factor = factor.map_err(|error: std::num::ParseIntError| StartupError::Part {
            what: RATE_LIMIT_FACTOR.name,
            source: error.into(),
        })?;
        let function = startup.function();
        let counter = startup.capability()?;
        Ok(Self { counter, function: function.name, class: function.rate, factor })
    }

    /// Whether a request that changes nothing may be handled while it is being counted, so that
    /// counting costs it no time.
    pub(crate) fn may_overlap(&self, request: &HttpRequest) -> bool {
        request.is_safe() && !self.class.fails_closed()
    }

    /// Counts a request by its caller's name, or by its address when nobody is known to have sent
    /// it.
    pub(crate) async fn admitted(
        &self,
        name: Option<&str>,
        request: &HttpRequest,
        context: &Context,
    ) -> Result<Standing, Refusal> {
        match (name, self.class) {
            (Some(name), class) => self.count(class, name, context).await,
            (None, RateClass::User) => self.stranger(request, context).await,
            (None, class) => self.count(class, &address(request.source_ip()), context).await,
        }
    }

    /// Counts a request of somebody whom the route does not know or turned away.
    pub(crate) async fn stranger(
        &self,
        request: &HttpRequest,
        context: &Context,
    ) -> Result<Standing, Refusal> {
        self.count(RateClass::Anonymous, &address(request.source_ip()), context).await
    }

    async fn count(
        &self,
        class: RateClass,
        who: &str,
        context: &Context,
    ) -> Result<Standing, Refusal> {
        let policy = class.policy(self.function);
        let admissions_max = class.limit().admissions_max.saturating_mul(self.factor);
        let limit = Limit { admissions_max };
        let arrival = self.counter.arrive(&RateKey::new(policy, who), limit, context.now).await;
        let arrival = match arrival {
            Ok(arrival) => arrival,
            Err(error) => return uncounted(class, &error, context),
        };
        if let Some(error) = arrival.unsettled {
            tracing::warn!(error = chain(&error), "a counter of a rate limit stays too high");
        }
        let standing = Standing::new(policy, limit, arrival.verdict);
        if arrival.verdict.admitted {
            return Ok(standing);
        }
        emit(context.now, &[(Metric::RateLimited, 1.0)]);
        let problem = Problem::new(&RATE_LIMITED);
        Err((problem.with_retry_after(arrival.verdict.reset_seconds), standing))
    }
}

/// Counters that cannot be reached keep nobody out, but where credentials could be guessed.
fn uncounted(class: RateClass, error: &PortError, context: &Context) -> Result<Standing, Refusal> {
    if class.fails_closed() {
        return Err((Problem::port(error), Standing::default()));
    }
    tracing::error!(error = chain(error), "a request is admitted without being counted");
    emit(context.now, &[(Metric::RateUncounted, 1.0)]);
    Ok(Standing::default())
}

impl Standing {
    fn new(policy: &str, limit: Limit, verdict: Verdict) -> Self {
        let Limit { admissions_max } = limit;
        let Verdict { remaining, reset_seconds, .. } = verdict;
        Self {
            policy: Some(format!("\"{policy}\";q={admissions_max};w={WINDOW_SECONDS}")),
            left: Some(format!("\"{policy}\";r={remaining};t={reset_seconds}")),
        }
    }

    /// The answer, with the headers that tell where the caller stands.
    pub(crate) fn tell(self, response: Response) -> Response {
        let headers = [("ratelimit-policy", self.policy), ("ratelimit", self.left)];
        headers.into_iter().fold(response, |response, (name, value)| match value {
            Some(value) => response.with_header(name, &value),
            None => response,
        })
    }
}

/// Whom an address stands for: an IPv4 address for itself, an IPv6 address for its network of 64
/// bits, since one customer holds at least that much (RFC 6177 §2).
fn address(source_ip: &str) -> String {
    match source_ip.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V6(ip)) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).to_string(),
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_not_an_address) => source_ip.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_is_one_address() {
        for (source_ip, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("", ""),
        ] {
            assert_eq!(address(source_ip), expected, "{source_ip}");
        }
    }

    #[test]
    fn the_headers_have_the_drafts_form() {
        let limit = Limit { admissions_max: 5 };
        let verdict = Verdict { admitted: true, remaining: 4, reset_seconds: 61 };
        let told = Standing::new("auth-login", limit, verdict).tell(Response::no_content());
        let headers = told.into_gateway("r").headers;
        assert_eq!(headers["ratelimit-policy"], "\"auth-login\";q=5;w=60");
        assert_eq!(headers["ratelimit"], "\"auth-login\";r=4;t=61");
    }
}
