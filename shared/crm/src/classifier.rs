//! The classifier: what follows from a refusal. One table, first match wins, one test per row.
//!
//! The facts behind the rows are HubSpot's published error handling
//! (<https://developers.hubspot.com/docs/api/error-handling>) and what integrators saw.

use rollcall_domain::time::SignedDuration;

use crate::portal::PauseReason;

/// A refusal as the CRM told it, of a whole call or of one input. Every text may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status; [`ITEM`] for an input's own error within an answered call.
    pub status: u16,
    /// HubSpot's `category`, or the error's code where it has none.
    pub category: String,
    /// The message for people. Never shown to a caller of ours.
    pub message: String,
    /// Name of the exceeded limit (429).
    pub policy: String,
    /// What `Retry-After` asked for.
    pub retry_after: Option<SignedDuration>,
}

/// Status of a [`Failure`] of one input within an answered call (207, Multi-Status).
pub const ITEM: u16 = 207;

/// What to try again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// This input, after its own delay.
    Input,
    /// This input by our key: the contact we knew is gone.
    ByKey,
    /// Everything, once the portal is well again.
    Portal(PauseReason),
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing: it was written.
    Sent,
    /// It may succeed unchanged.
    RetryAfter(Retry),
    /// Something in it is wrong; find out what by sending less at a time.
    SplitAndRetry,
    /// The portal does not know a property of ours.
    FixSchema,
    /// The credentials may have been replaced.
    RefreshCredentials,
    /// Nothing can be sent until a person or time has helped.
    PausePortal(PauseReason),
    /// The e-mail address belongs to a contact that was there before us.
    AdoptExistingId,
    /// It will never succeed.
    DeadLetter,
}

#[derive(Clone, Copy, Debug)]
enum Sign {
    Any,
    Category(&'static str),
    Policy(&'static str),
    Says(&'static str),
}

impl Sign {
    fn is_on(self, failure: &Failure) -> bool {
        match self {
            Self::Any => true,
            Self::Category(category) => failure.category == category,
            Self::Policy(policy) => failure.policy == policy,
            Self::Says(text) => failure.message.contains(text),
        }
    }
}

struct Rule {
    statuses: (u16, u16),
    sign: Sign,
    class: Class,
}

const fn rule(statuses: (u16, u16), sign: Sign, class: Class) -> Rule {
    Rule { statuses, sign, class }
}

const EXISTING_ID: &str = "Existing ID: ";

const RULES: &[Rule] = {
    use Class::{
        AdoptExistingId, DeadLetter, FixSchema, PausePortal, RefreshCredentials, RetryAfter, Sent,
        SplitAndRetry,
    };
    use PauseReason::{DailyLimit, Lock, Migration, Outage, Permission, RateLimit, Unusable};
    use Sign::{Any, Category, Policy, Says};
    const INPUT: Class = RetryAfter(Retry::Input);
    const fn portal(reason: PauseReason) -> Class {
        RetryAfter(Retry::Portal(reason))
    }
    &[
        // One input's own error.
        rule((ITEM, ITEM), Says(EXISTING_ID), AdoptExistingId),
        rule((ITEM, ITEM), Says("PROPERTY_DOESNT_EXIST"), FixSchema),
        rule((ITEM, ITEM), Category("VALIDATION_ERROR"), SplitAndRetry),
        rule((ITEM, ITEM), Category("OBJECT_NOT_FOUND"), RetryAfter(Retry::ByKey)),
        rule((ITEM, ITEM), Any, INPUT),
        // The whole call.
        rule((200, 299), Any, Sent),
        rule((400, 400), Says("PROPERTY_DOESNT_EXIST"), FixSchema),
        rule((400, 400), Says("by non-unique"), PausePortal(Unusable)),
        rule((400, 400), Says(EXISTING_ID), AdoptExistingId),
        rule((401, 401), Any, RefreshCredentials),
        rule((403, 403), Any, PausePortal(Permission)),
        rule((404, 404), Any, PausePortal(Unusable)),
        rule((408, 408), Any, portal(Outage)),
        rule((409, 409), Says(EXISTING_ID), AdoptExistingId),
        rule((409, 409), Any, INPUT),
        rule((414, 414), Any, DeadLetter),
        rule((423, 423), Any, portal(Lock)),
        rule((429, 429), Policy("DAILY"), portal(DailyLimit)),
        rule((429, 429), Any, portal(RateLimit)),
        rule((477, 477), Any, portal(Migration)),
        rule((400, 499), Any, SplitAndRetry),
        // Faults between HubSpot and its proxy that its support has to repair.
        rule((522, 522), Any, PausePortal(Unusable)),
        rule((525, 526), Any, PausePortal(Unusable)),
        rule((500, 599), Any, portal(Outage)),
    ]
};

/// What follows from `failure`.
pub fn classify(failure: &Failure) -> Class {
    RULES
        .iter()
        .find(|rule| {
            (rule.statuses.0..=rule.statuses.1).contains(&failure.status)
                && rule.sign.is_on(failure)
        })
        // A redirect or another status that the API does not use: this is not the API.
        .map_or(Class::PausePortal(PauseReason::Unusable), |rule| rule.class)
}

/// The contact that a conflict names: "Contact already exists. Existing ID: 512".
pub fn existing_id(failure: &Failure) -> Option<String> {
    let (_, rest) = failure.message.split_once(EXISTING_ID)?;
    let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_decides_something() {
        use PauseReason::{DailyLimit, Lock, Migration, Outage, Permission, RateLimit, Unusable};
        let missing = "Property values were not valid: [{\"error\":\"PROPERTY_DOESNT_EXIST\"}]";
        let exists = "Contact already exists. Existing ID: 512";
        let input = Class::RetryAfter(Retry::Input);
        let portal = |reason| Class::RetryAfter(Retry::Portal(reason));
        let rows = [
            (ITEM, "CONFLICT", exists, Class::AdoptExistingId),
            (ITEM, "VALIDATION_ERROR", missing, Class::FixSchema),
            (ITEM, "VALIDATION_ERROR", "", Class::SplitAndRetry),
            (ITEM, "OBJECT_NOT_FOUND", "", Class::RetryAfter(Retry::ByKey)),
            (ITEM, "INTERNAL_ERROR", "", input),
            (200, "", "", Class::Sent),
            (400, "VALIDATION_ERROR", missing, Class::FixSchema),
            (
                400,
                "",
                "Unable to perform update/upsert by non-unique 0-1 property domain",
                Class::PausePortal(Unusable),
            ),
            (400, "CONFLICT", exists, Class::AdoptExistingId),
            (401, "EXPIRED_AUTHENTICATION", "", Class::RefreshCredentials),
            (403, "MISSING_SCOPES", "", Class::PausePortal(Permission)),
            (404, "", "resource not found", Class::PausePortal(Unusable)),
            (408, "", "", portal(Outage)),
            (409, "CONFLICT", exists, Class::AdoptExistingId),
            (409, "CONFLICT", "", input),
            (414, "", "", Class::DeadLetter),
            (423, "", "", portal(Lock)),
            (429, "DAILY", "", portal(DailyLimit)),
            (429, "TEN_SECONDLY_ROLLING", "", portal(RateLimit)),
            (477, "", "", portal(Migration)),
            (400, "VALIDATION_ERROR", "", Class::SplitAndRetry),
            (522, "", "", Class::PausePortal(Unusable)),
            (526, "", "", Class::PausePortal(Unusable)),
            (503, "", "", portal(Outage)),
        ];
        assert_eq!(rows.len(), RULES.len());
        for (status, label, message, class) in rows {
            let failure = Failure {
                status,
                category: label.to_owned(),
                policy: label.to_owned(),
                message: message.to_owned(),
                retry_after: None,
            };
            assert_eq!(classify(&failure), class, "{status} {label} {message}");
        }
        let redirect = Failure { status: 302, ..Failure::default() };
        assert_eq!(classify(&redirect), Class::PausePortal(Unusable));
    }

    #[test]
    fn the_existing_id_is_read_from_the_message() {
        for (message, id) in [
            ("Contact already exists. Existing ID: 512", Some("512")),
            ("Existing ID: 7)", Some("7")),
            ("Existing ID: ", None),
            ("", None),
        ] {
            let failure = Failure { message: message.to_owned(), ..Failure::default() };
            assert_eq!(existing_id(&failure).as_deref(), id);
        }
    }
}
