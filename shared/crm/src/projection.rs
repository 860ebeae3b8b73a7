//! The projection: from what is stored about a user to the CRM properties of one facet.
//!
//! Values derive from state, never from increments, so that sending one twice is sending it once.

use std::collections::BTreeMap;

use rollcall_domain::badge::Badge;
use rollcall_domain::catalog::Catalog;
use rollcall_domain::certificate::Certificate;
use rollcall_domain::enrollment::{Enrollment, Target, TargetKind};
use rollcall_domain::facet::Facet;
use rollcall_domain::learning::{Learner, Status};
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::User;
use sha2::{Digest, Sha256};

use crate::desk::Edit;
use crate::limits::TEXT_CHARACTERS_MAX;
use crate::schema;

/// CRM properties by name. An empty text clears a property.
pub type Properties = BTreeMap<&'static str, String>;

/// Everything about a user that some facet tells the CRM.
#[derive(Clone, Debug)]
pub struct UserState {
    /// The account.
    pub user: User,
    /// What the user learned.
    pub learner: Learner,
    /// The badges the user has, by name.
    pub badges: Vec<Badge>,
    /// The certificates the user has, by name.
    pub certificates: Vec<Certificate>,
    /// The published catalogue, for denominators.
    pub catalog: std::sync::Arc<Catalog>,
}

/// One facet as the CRM should see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projected {
    /// The properties.
    pub properties: Properties,
    /// Names these values; equal hashes are equal values.
    pub hash: String,
    /// Version of the state they derive from.
    pub version: u64,
}

/// `facet` of `state` as the CRM should see it.
pub fn project(state: &UserState, facet: Facet) -> Projected {
    let (properties, version) = match facet {
        Facet::Identity => (identity(&state.user), state.user.version),
        Facet::Learning => (learning(state), state.learner.version),
    };
    Projected { hash: hash(&properties), properties, version }
}

/// Every facet of `state` as the CRM should see it, with what an operator replaced in it.
pub fn project_all(state: &UserState, edits: &BTreeMap<Facet, Edit>) -> BTreeMap<Facet, Projected> {
    let projected = Facet::ALL.map(|facet| {
        let projected = project(state, facet);
        match edits.get(&facet) {
            Some(edit) => (facet, edit.apply(projected)),
            None => (facet, projected),
        }
    });
    projected.into()
}

/// Who the user is. What is not known is left out, so that nothing a colleague wrote is blanked;
/// a name that its user removed is blanked.
pub fn identity(user: &User) -> Properties {
    let mut properties = Properties::from([
        (schema::USER_ID, user.id.to_string()),
        (schema::JOINED_AT, instant(user.joined_at)),
        (schema::LAST_SEEN_ON, user.last_seen_on()),
    ]);
    if let Some(email) = &user.email {
        properties.insert(schema::EMAIL, email.to_lowercase());
    }
    for (name, value, is_own) in [
        (schema::FIRST_NAME, &user.given_name, user.own_names.given),
        (schema::LAST_NAME, &user.family_name, user.own_names.family),
    ] {
        if is_own || !value.is_empty() {
            properties.insert(name, value.clone());
        }
    }
    if let Some(username) = &user.username {
        properties.insert(schema::USERNAME, username.to_string());
    }
    properties
}

/// What the user enrolled in and how far they are.
pub fn learning(state: &UserState) -> Properties {
    let UserState { learner, badges, certificates, catalog, .. } = state;
    let badges = badges.iter().map(|badge| format!("{} {}", badge.name.kind, badge.name.slug));
    let valid = certificates.iter().filter(|certificate| certificate.revocation.is_none());
    let certificates = valid.map(|certificate| certificate.earned.name.to_string());
    let enrolled = learner.enrollments.values().filter(|enrollment| enrollment.is_active());
    Properties::from([
        (schema::ENROLLED_COURSES, join(courses(enrolled.map(|e| &e.target)), ";")),
        (schema::COMPLETED_COURSES, join(courses(learner.completions.keys()), ";")),
        (schema::PROGRESS_SUMMARY, join(progress(learner, catalog), "; ")),
        (schema::MODULES_COMPLETED, learner.modules_completed().to_string()),
        (schema::LAST_LEARNING_AT, learner.last_learning_at().map(instant).unwrap_or_default()),
        (schema::BADGES, join(badges, ";")),
        (schema::CERTIFICATES, join(certificates, ";")),
    ])
}

/// Names `properties`: SHA-256 over names and values, each with its length.
pub fn hash(properties: &Properties) -> String {
    let mut digest = Sha256::new();
    for (name, value) in properties {
        for text in [*name, value.as_str()] {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
    }
    format!("{:x}", digest.finalize())
}

fn instant(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn courses<'a>(targets: impl Iterator<Item = &'a Target>) -> impl Iterator<Item = String> {
    targets.filter(|target| target.kind == TargetKind::Course).map(|target| target.slug.to_string())
}

fn progress(learner: &Learner, catalog: &Catalog) -> impl Iterator<Item = String> {
    catalog.courses().filter_map(|course| {
        let status = learner.course_status(catalog, course);
        let target = Target::course(course.slug.clone());
        let enrolled = learner.enrollments.get(&target).is_some_and(Enrollment::is_active);
        (enrolled || status.status != Status::NotStarted).then(|| {
            format!("{}: {}/{}", course.slug, status.modules_completed, status.modules_total)
        })
    })
}

/// Entries up to the first that would not fit: a property that is too long is refused as a whole.
fn join(entries: impl Iterator<Item = String>, separator: &str) -> String {
    let mut text = String::new();
    for entry in entries {
        let between = if text.is_empty() { "" } else { separator };
        if text.len() + between.len() + entry.len() > TEXT_CHARACTERS_MAX {
            break;
        }
        text.push_str(between);
        text.push_str(&entry);
    }
    text
}

#[cfg(test)]
mod tests {
    use rollcall_domain::catalog::{Course, Module, Task};
    use rollcall_domain::certificate::StatusPlace;
    use rollcall_domain::id::UserId;
    use rollcall_domain::profile::Profile;
    use rollcall_domain::progress::{
        Changes, LearningEvent, ModuleAction, TaskOutcome, perform, record,
    };
    use rollcall_domain::random::SeededRandom;
    use rollcall_domain::standing::Standing;
    use rollcall_domain::user::{OwnNames, Plan};

    use super::*;
    use crate::schema::SCHEMA;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn state() -> UserState {
        let module = |name: &str| {
            Module::new(name.parse().unwrap(), name, vec![Task::lab("x".parse().unwrap())])
        };
        let course = |name: &str, modules: &[&str]| {
            let modules = modules.iter().map(|module| module.parse().unwrap()).collect();
            Course::new(name.parse().unwrap(), name, modules)
        };
        let courses = vec![course("two", &["b", "c"]), course("one", &["a", "b"])];
        let catalog =
            Catalog::new(Vec::new(), courses, ["a", "b", "c"].map(module).to_vec()).unwrap();
        let one = Some("one".parse().unwrap());
        let begun = LearningEvent::module(ModuleAction::Started, "a".parse().unwrap(), one);
        let mut learner = Learner { version: 7, ..Learner::default() };
        let apply = |learner: &mut Learner, changes: Changes| {
            learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
            let enrollments = changes.enrollments.into_iter();
            learner.enrollments.extend(enrollments.map(|e| (e.target.clone(), e)));
            let completions = changes.completions.into_iter();
            learner.completions.extend(completions.map(|c| (c.target.clone(), c)));
        };
        let changes = record(&learner, &catalog, &[begun], at(86_400)).unwrap();
        apply(&mut learner, changes);
        for name in ["a", "b"] {
            let module = catalog.module(&name.parse().unwrap()).unwrap();
            let outcome = TaskOutcome::Attested(None);
            let task = &module.tasks[0];
            let changes = perform(&learner, &catalog, module, task, &outcome, at(86_400));
            apply(&mut learner, changes);
        }
        let user = User {
            id: UserId::new(at(0), &SeededRandom::new(1)),
            issuer: String::new(),
            subject: String::new(),
            identities: 1,
            email: Some("Ada@Example.org".to_owned()),
            given_name: "Ada".to_owned(),
            family_name: String::new(),
            provider_roles: Vec::new(),
            granted_roles: Vec::new(),
            standing: Standing::Active,
            plan: Plan::Free,
            verified: false,
            crm_sync: true,
            joined_at: at(1),
            last_seen_at: at(86_400),
            own_names: OwnNames::default(),
            username: None,
            renamed_at: None,
            profile: Profile::default(),
            version: 3,
            profile_version: 1,
            desk_version: 1,
        };
        let badges = rollcall_domain::badge::earned(&learner, &catalog);
        let certificates = rollcall_domain::certificate::earned(&learner);
        let random = SeededRandom::new(2);
        let certificates = certificates.into_iter().map(|earned| {
            let place = StatusPlace::draw(1, &random);
            Certificate::award(earned, [&catalog; 2], place, at(86_400), &random)
        });
        let certificates = certificates.collect();
        UserState { user, learner, badges, certificates, catalog: std::sync::Arc::new(catalog) }
    }

    #[test]
    fn a_user_is_projected_to_exactly_these_values() {
        let state = state();
        let identity = project(&state, Facet::Identity);
        assert_eq!(identity.version, 3);
        assert_eq!(
            identity.properties,
            Properties::from([
                (schema::USER_ID, state.user.id.to_string()),
                (schema::EMAIL, "ada@example.org".to_owned()),
                (schema::FIRST_NAME, "Ada".to_owned()),
                (schema::JOINED_AT, "1970-01-01T00:00:01.000Z".to_owned()),
                (schema::LAST_SEEN_ON, "1970-01-02".to_owned()),
            ])
        );
        let learning = project(&state, Facet::Learning);
        assert_eq!(learning.version, 7);
        assert_eq!(
            learning.properties,
            Properties::from([
                (schema::ENROLLED_COURSES, "one".to_owned()),
                (schema::COMPLETED_COURSES, "one".to_owned()),
                (schema::PROGRESS_SUMMARY, "one: 2/2; two: 1/2".to_owned()),
                (schema::MODULES_COMPLETED, "2".to_owned()),
                (schema::LAST_LEARNING_AT, "1970-01-02T00:00:00.000Z".to_owned()),
                (schema::BADGES, "first_module a;course one;quick_course one".to_owned()),
                (schema::CERTIFICATES, "module a;module b;course one".to_owned()),
            ])
        );
    }

    #[test]
    fn a_certificate_that_was_revoked_is_told_no_more() {
        let mut state = state();
        let last = state.certificates.remove(2);
        state.certificates.push(last.revoke("awarded in error", at(90_000)).unwrap());
        let properties = project(&state, Facet::Learning).properties;
        let told = properties.get(schema::CERTIFICATES).map(String::as_str);
        assert_eq!(told, Some("module a;module b"));
    }

    #[test]
    fn a_name_that_its_user_removed_is_blanked_and_one_that_nobody_told_is_left_alone() {
        let user = state().user;
        assert!(!identity(&user).contains_key(schema::LAST_NAME));
        let own_names = OwnNames { given: true, family: true };
        let username = Some("countess".parse().unwrap());
        let removed = User { given_name: String::new(), own_names, username, ..user };
        let properties = identity(&removed);
        for (name, value) in
            [(schema::FIRST_NAME, ""), (schema::LAST_NAME, ""), (schema::USERNAME, "countess")]
        {
            assert_eq!(properties.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn every_projected_property_is_declared_for_its_facet_and_for_no_other() {
        let mut state = state();
        state.user.username = Some("ada".parse().unwrap());
        for facet in Facet::ALL {
            for name in project(&state, facet).properties.keys() {
                let declared: Vec<Facet> = SCHEMA
                    .properties
                    .iter()
                    .filter(|property| property.name == *name)
                    .map(|property| property.facet)
                    .collect();
                assert_eq!(declared, [facet], "{name}");
            }
        }
    }

    #[test]
    fn moving_text_between_values_changes_the_hash() {
        let of = |first: &str, last: &str| {
            hash(&Properties::from([
                (schema::FIRST_NAME, first.to_owned()),
                (schema::LAST_NAME, last.to_owned()),
            ]))
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_eq!(of("a", "b"), of("a", "b"));
    }

    #[test]
    fn a_list_that_would_be_refused_is_cut_between_entries() {
        let entries = std::iter::repeat_with(|| "x".repeat(1_000)).take(100);
        let text = join(entries, ";");
        assert!(text.len() <= TEXT_CHARACTERS_MAX);
        assert!(text.split(';').all(|entry| entry.len() == 1_000));
    }
}
