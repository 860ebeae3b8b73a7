//! Route groups: parts of the API that an operator closes in one step, so that whatever goes wrong in
//! one of them is kept from people, data and third parties until it is put right.
//!
//! Each is a flag, so closing one needs no deployment. The routes by which operators put things right,
//! those that say how Rollcall is, and those at which a third party tells of facts are in no group.

use crate::flag::{Flag, Rollout};

/// Signing in, signing up, and what a signed-in browser asks about its session.
pub static SIGN_IN: Flag = Flag {
    name: "routes-sign-in",
    purpose: "The routes under /auth answer.",
    owner: "ops",
    default: Rollout::On,
    kept_when_closed: "Sessions go on; operators call with an access token of the provider.",
};

/// People and their profiles.
pub static MEMBERS: Flag = Flag {
    name: "routes-members",
    purpose: "The routes under /users answer.",
    owner: "ops",
    default: Rollout::On,
    kept_when_closed: "Everything that is stored, and what of it is on its way to the CRM.",
};

/// The catalogue, and learning from it.
pub static LEARNING: Flag = Flag {
    name: "routes-learning",
    purpose: "The routes of courses, pathways, progress and badges answer.",
    owner: "ops",
    default: Rollout::On,
    kept_when_closed: "Everything that is stored, and what of it is on its way to the CRM.",
};

/// Every other route that can be closed.
pub static OTHER: Flag = Flag {
    name: "routes-other",
    purpose: "All other routes for people answer.",
    owner: "ops",
    default: Rollout::On,
    kept_when_closed: "Everything that is stored, and what of it is on its way to the CRM.",
};

/// Every group, by name.
pub const ALL: [&Flag; 4] = [&LEARNING, &MEMBERS, &OTHER, &SIGN_IN];

/// Whether a flag is a group of routes.
#[must_use]
pub fn is_one(flag: &Flag) -> bool {
    ALL.iter().any(|group| group.name == flag.name)
}

/// What the names of the groups' flags begin with.
const PREFIX: &str = "routes-";

/// What no group holds, by the first part of the path.
const ALWAYS_OPEN: [&str; 5] = ["", ".well-known", "admin", "health", "status"];

/// Where third parties tell of facts: by the first part of the path.
const TOLD_BY_OTHERS: [&str; 1] = ["webhooks"];

/// The group of a route, by its path such as `/courses/{slug}`; `None` for one that stays open.
#[must_use]
pub fn of(path: &str) -> Option<&'static Flag> {
    let first = path.split('/').nth(1).unwrap_or_default();
    if ALWAYS_OPEN.contains(&first) || TOLD_BY_OTHERS.contains(&first) {
        return None;
    }
    Some(match first {
        "auth" => &SIGN_IN,
        "users" => &MEMBERS,
        "badges" | "certificates" | "courses" | "enrollments" | "events" | "modules"
        | "pathways" | "progress" | "quizzes" => &LEARNING,
        _ => &OTHER,
    })
}

/// The group of this name, such as `learning`.
#[must_use]
pub fn named(name: &str) -> Option<&'static Flag> {
    ALL.into_iter().find(|flag| short_name(flag) == name)
}

/// The name of a group, such as `learning`.
#[must_use]
pub fn short_name(group: &Flag) -> &'static str {
    group.name.strip_prefix(PREFIX).unwrap_or(group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_in_one_group_or_stays_open() {
        for (path, group) in [
            ("/auth/login", Some("sign-in")),
            ("/users/me", Some("members")),
            ("/courses/{slug}", Some("learning")),
            ("/somewhere/else", Some("other")),
            ("/admin/flags/{name}", None),
            ("/health", None),
            ("/status", None),
            ("/webhooks/hubspot", None),
        ] {
            assert_eq!(of(path).map(short_name), group, "{path}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_name_alone() {
        for group in ALL {
            assert_eq!(named(short_name(group)).map(|found| found.name), Some(group.name));
            assert_eq!(group.default, Rollout::On, "{}", group.name);
        }
        assert!(named("routes-learning").is_none() && named("").is_none());
    }
}
