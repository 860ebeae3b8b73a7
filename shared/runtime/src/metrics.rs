//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics,
//! so that measuring costs no call.
//!
//! The stage is their only dimension: every other value of a dimension makes each metric one more that
//! is paid for. Which function wrote a line stands beside, for queries of the logs.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::log;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Rollcall";

/// The one dimension of all metrics.
pub const DIMENSION: &str = "stage";

static STAGE: OnceLock<String> = OnceLock::new();

/// Says which stage is measured; later calls change nothing.
pub(crate) fn start(stage: &str) {
    STAGE.get_or_init(|| stage.to_owned());
}

/// A metric. Alarms and dashboards use these names and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests answered.
    Requests,
    /// Requests answered with 5xx.
    ServerErrors,
    /// How long a request took.
    Duration,
    /// Invocations in a new process.
    ColdStarts,
    /// Requests refused by a rate limit.
    RateLimited,
    /// Requests admitted without being counted, since the counters could not be reached.
    RateUncounted,
    /// Sign-ins whose address at the provider is another user's.
    AddressesRefused,
    /// Facets that the CRM acknowledged.
    CrmSent,
    /// Facets that were equal to what the CRM has.
    CrmUnchanged,
    /// Facets that wait because they could not be sent.
    CrmPending,
    /// Facets that the CRM refused for good.
    CrmDead,
    /// Time from a write to its acknowledgement by the CRM.
    CrmLag,
    /// Of those that wait, the ones that only wait for their turn.
    CrmPaced,
    /// Calls to the CRM.
    CrmCalls,
    /// Calls that the CRM refused for their rate.
    CrmCallsLimited,
    /// Calls that the CRM refused as a whole for anything else.
    CrmCallsRefused,
    /// Calls that got no answer that can be understood.
    CrmCallsLost,
    /// Messages that no function could handle.
    DeadMessages,
    /// Notices of the CRM that were taken in.
    CrmNotices,
    /// Notices of the CRM about what we did ourselves.
    CrmEchoes,
    /// Notices of the CRM about nothing of ours.
    CrmForeign,
    /// Requests in the CRM's name that the CRM did not sign.
    CrmForged,
    /// Changes that somebody else made to what is ours in the CRM.
    CrmDrift,
    /// Mails that the mail service took.
    MailSent,
    /// Mails that wait because the mail service could not take them.
    MailDelayed,
    /// Mails that the mail service refused for good.
    MailRefused,
    /// Requests whose session or token did not admit them, or not to what they asked for.
    SessionsRefused,
    /// Access tokens that were not good.
    TokensInvalid,
    /// Sessions that the identity provider could not be asked about again.
    RefreshesFailed,
    /// How long the oldest change waits for the CRM; zero when none does.
    CrmWaiting,
    /// Whether the CRM is left alone for now: one or zero.
    CrmPaused,
    /// Dead letters that wait for a person, counted up to a bound.
    CrmLettersOpen,
    /// Whether the API answered the canary well: one or zero.
    CanaryAnswered,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 33] = [
        Self::Requests,
        Self::ServerErrors,
        Self::Duration,
        Self::ColdStarts,
        Self::RateLimited,
        Self::RateUncounted,
        Self::AddressesRefused,
        Self::CrmSent,
        Self::CrmUnchanged,
        Self::CrmPending,
        Self::CrmDead,
        Self::CrmLag,
        Self::CrmPaced,
        Self::CrmCalls,
        Self::CrmCallsLimited,
        Self::CrmCallsRefused,
        Self::CrmCallsLost,
        Self::DeadMessages,
        Self::CrmNotices,
        Self::CrmEchoes,
        Self::CrmForeign,
        Self::CrmForged,
        Self::CrmDrift,
        Self::MailSent,
        Self::MailDelayed,
        Self::MailRefused,
        Self::SessionsRefused,
        Self::TokensInvalid,
        Self::RefreshesFailed,
        Self::CrmWaiting,
        Self::CrmPaused,
        Self::CrmLettersOpen,
        Self::CanaryAnswered,
    ];

    /// The name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::ServerErrors => "ServerErrors",
            Self::Duration => "Duration",
            Self::ColdStarts => "ColdStarts",
            Self::RateLimited => "RateLimited",
            Self::RateUncounted => "RateUncounted",
            Self::AddressesRefused => "AddressesRefused",
            Self::CrmSent => "CrmSent",
            Self::CrmUnchanged => "CrmUnchanged",
            Self::CrmPending => "CrmPending",
            Self::CrmDead => "CrmDead",
            Self::CrmLag => "CrmLag",
            Self::CrmPaced => "CrmPaced",
            Self::CrmCalls => "CrmCalls",
            Self::CrmCallsLimited => "CrmCallsLimited",
            Self::CrmCallsRefused => "CrmCallsRefused",
            Self::CrmCallsLost => "CrmCallsLost",
            Self::DeadMessages => "DeadMessages",
            Self::CrmNotices => "CrmNotices",
            Self::CrmEchoes => "CrmEchoes",
            Self::CrmForeign => "CrmForeign",
            Self::CrmForged => "CrmForged",
            Self::CrmDrift => "CrmDrift",
            Self::MailSent => "MailSent",
            Self::MailDelayed => "MailDelayed",
            Self::MailRefused => "MailRefused",
            Self::SessionsRefused => "SessionsRefused",
            Self::TokensInvalid => "TokensInvalid",
            Self::RefreshesFailed => "RefreshesFailed",
            Self::CrmWaiting => "CrmWaiting",
            Self::CrmPaused => "CrmPaused",
            Self::CrmLettersOpen => "CrmLettersOpen",
            Self::CanaryAnswered => "CanaryAnswered",
        }
    }

    /// The unit in CloudWatch.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Duration | Self::CrmLag | Self::CrmWaiting => "Milliseconds",
            Self::Requests
            | Self::ServerErrors
            | Self::ColdStarts
            | Self::RateLimited
            | Self::RateUncounted
            | Self::AddressesRefused
            | Self::CrmSent
            | Self::CrmUnchanged
            | Self::CrmPending
            | Self::CrmDead
            | Self::CrmPaced
            | Self::CrmCalls
            | Self::CrmCallsLimited
            | Self::CrmCallsRefused
            | Self::CrmCallsLost
            | Self::DeadMessages
            | Self::CrmNotices
            | Self::CrmEchoes
            | Self::CrmForeign
            | Self::CrmForged
            | Self::CrmDrift
            | Self::MailSent
            | Self::MailDelayed
            | Self::MailRefused
            | Self::SessionsRefused
            | Self::TokensInvalid
            | Self::RefreshesFailed
            | Self::CrmPaused
            | Self::CrmLettersOpen
            | Self::CanaryAnswered => "Count",
        }
    }
}

/// Writes one metric line; nothing before `start`.
pub fn emit(now: Timestamp, values: &[(Metric, f64)]) {
    let Some(stage) = STAGE.get().filter(|_| !values.is_empty()) else { return };
    let line = line(stage, log::service(), now, values);
    // A full or closed standard output is no reason to fail the work that is being measured.
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn line(stage: &str, service: &str, now: Timestamp, values: &[(Metric, f64)]) -> Value {
    let metrics: Vec<Value> = values
        .iter()
        .map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() }))
        .collect();
    let mut line = Map::new();
    for (metric, value) in values {
        line.insert(metric.name().to_owned(), json!(value));
    }
    line.insert(DIMENSION.to_owned(), stage.into());
    line.insert("service".to_owned(), service.into());
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[DIMENSION]],
                "Metrics": metrics,
            }],
        }),
    );
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_embedded_metric_format() {
        let now = Timestamp::from_millisecond(5).unwrap();
        let expected = json!({
            "stage": "dev",
            "service": "enroll",
            "Duration": 12.0,
            "_aws": {
                "Timestamp": 5,
                "CloudWatchMetrics": [{
                    "Namespace": "Rollcall",
                    "Dimensions": [["stage"]],
                    "Metrics": [{ "Name": "Duration", "Unit": "Milliseconds" }],
                }],
            },
        });
        assert_eq!(line("dev", "enroll", now, &[(Metric::Duration, 12.0)]), expected);
    }
}
