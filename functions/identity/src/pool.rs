//! Events of a user pool, read without demanding more of them than is needed: Cognito wants back
//! exactly what it sent, and what it adds to its events one day must not keep anybody out.

use serde_json::Value;

/// An event of a user pool.
pub(crate) struct PoolEvent<'a>(&'a Value);

impl<'a> PoolEvent<'a> {
    /// The event, if it comes from the pool that `issuer` is. Other pools' people are not ours.
    pub(crate) fn of(event: &'a Value, issuer: &str) -> Option<Self> {
        let pool = event.get("userPoolId").and_then(Value::as_str)?;
        let ours = issuer.rsplit('/').next();
        (ours == Some(pool)).then_some(Self(event))
    }

    /// Which shape its request has.
    pub(crate) fn version(&self) -> &'a str {
        self.text("version")
    }

    /// Why it was sent.
    pub(crate) fn source(&self) -> &'a str {
        self.text("triggerSource")
    }

    /// The person, within the pool.
    pub(crate) fn subject(&self) -> Option<&'a str> {
        self.attribute("sub")
    }

    /// What the pool knows about the person; every attribute is text.
    pub(crate) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.0.get("request")?.get("userAttributes")?.get(name)?.as_str()
    }

    /// A part of the request.
    pub(crate) fn request(&self, name: &str) -> Option<&'a Value> {
        self.0.get("request")?.get(name)
    }

    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}
