//! Request parameters of OAuth endpoints (RFC 6749 §3.1 and §3.2).

use std::collections::BTreeMap;

/// The parameters of one request. Empty values count as absent; a name that occurs twice makes the
/// request invalid (RFC 6749 §3.1).
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
    /// Whether some name occurs more than once.
    pub(crate) repeated: bool,
}

impl Parameters {
    /// Reads a query string or an `application/x-www-form-urlencoded` body.
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let mut values = BTreeMap::new();
        let mut repeated = false;
        for (name, value) in form_urlencoded::parse(encoded) {
            if !value.is_empty() {
                repeated |= values.insert(name.into_owned(), value.into_owned()).is_some();
            }
        }
        Self { values, repeated }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}
