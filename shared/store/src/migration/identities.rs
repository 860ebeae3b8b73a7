//! What an identity is called in the other stage: its provider is another one there, with other subjects.

use std::collections::BTreeMap;

/// How identities of one stage are called in another. Those of providers that it does not name stay what
/// they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    issuers: Option<(String, String)>,
    subjects: Option<BTreeMap<String, String>>,
}

impl Identities {
    /// Those of the issuer `from` are of the issuer `to`, under the subjects that `subjects` says; without
    /// it under the same ones.
    pub fn of_issuer(from: &str, to: &str, subjects: Option<BTreeMap<String, String>>) -> Self {
        Self { issuers: Some((from.to_owned(), to.to_owned())), subjects }
    }

    /// The identity in the other stage; `None` when nobody said.
    pub(super) fn of(&self, issuer: &str, subject: &str) -> Option<(String, String)> {
        let Some((_, to)) = self.issuers.as_ref().filter(|(from, _)| from == issuer) else {
            return Some((issuer.to_owned(), subject.to_owned()));
        };
        let subject = match &self.subjects {
            Some(subjects) => subjects.get(subject)?.clone(),
            None => subject.to_owned(),
        };
        Some((to.clone(), subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_the_named_provider_alone_are_called_otherwise() {
        let subjects = BTreeMap::from([("1".to_owned(), "one".to_owned())]);
        let same = Identities::of_issuer("dev", "prod", None);
        let other = Identities::of_issuer("dev", "prod", Some(subjects));
        for (identities, issuer, subject, expected) in [
            (&Identities::default(), "dev", "1", Some(("dev", "1"))),
            (&same, "dev", "1", Some(("prod", "1"))),
            (&same, "else", "1", Some(("else", "1"))),
            (&other, "dev", "1", Some(("prod", "one"))),
            (&other, "dev", "2", None),
            (&other, "else", "2", Some(("else", "2"))),
        ] {
            let expected =
                expected.map(|(issuer, subject)| (issuer.to_owned(), subject.to_owned()));
            assert_eq!(identities.of(issuer, subject), expected, "{issuer} {subject}");
        }
    }
}
