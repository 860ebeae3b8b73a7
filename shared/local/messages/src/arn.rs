//! The names of things on AWS as the local cloud spells them: one account, one region.

/// The account that owns everything in a local cloud.
pub(crate) const ACCOUNT: &str = "000000000000";
/// The region that everything in a local cloud lives in.
pub(crate) const REGION: &str = "us-east-1";

const QUEUE_PREFIX: &str = "arn:aws:sqs:us-east-1:000000000000:";
const SECRET_PREFIX: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:";
const PARAMETER_PREFIX: &str = "arn:aws:ssm:us-east-1:000000000000:parameter/";

/// `arn:aws:sqs:us-east-1:000000000000:NAME`.
pub(crate) fn of_queue(name: &str) -> String {
    format!("{QUEUE_PREFIX}{name}")
}

/// The queue that an ARN names; `None` when it is no queue of this account and region.
pub(crate) fn queue_name(arn: &str) -> Option<&str> {
    arn.strip_prefix(QUEUE_PREFIX)
}

/// `arn:aws:secretsmanager:…:secret:NAME-SUFFIX`.
pub(crate) fn of_secret(name: &str, suffix: &str) -> String {
    format!("{SECRET_PREFIX}{name}-{suffix}")
}

/// What follows `secret:` in a secret's ARN, which is the name with or without its suffix.
pub(crate) fn secret_name(arn: &str) -> Option<&str> {
    arn.strip_prefix(SECRET_PREFIX)
}

/// `arn:aws:ssm:…:parameter/NAME`; a name that begins with a slash does not get a second one.
pub(crate) fn of_parameter(name: &str) -> String {
    format!("{PARAMETER_PREFIX}{}", name.trim_start_matches('/'))
}

/// The parameter that an ARN names.
pub(crate) fn parameter_name(arn: &str) -> Option<&str> {
    arn.strip_prefix(PARAMETER_PREFIX)
}
