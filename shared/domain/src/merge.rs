//! Merging two accounts of one person: what the survivor is afterwards, and what becomes of what the
//! other one did.
//!
//! What the survivor says counts, and the other account fills the gaps; what both did is united, and
//! nothing that was complete is taken back. A field that is filled is seen by nobody who did not see it
//! on both accounts, and by no more people than its owner let see it.

use crate::catalog::Catalog;
use crate::connection::{Connection, ConnectionState};
use crate::enrollment::Enrollment;
use crate::id::UserId;
use crate::learning::Learner;
use crate::limits::{IDENTITIES_PER_USER_MAX, USERNAME_HELD_SECONDS};
use crate::profile::{Contacts, Field, Physical, Profile};
use crate::progress::{Changes, Completion, ModuleCompletion, ModuleProgress, Review, TaskRecord};
use crate::search::{Place, PlaceChange, place_changes, places};
use crate::standing::Standing;
use crate::time::{Timestamp, after_seconds};
use crate::user::{OwnNames, Plan, User, sorted};
use crate::username::Claim;

/// Completions that follow from one portion of what is united; what is left is recorded with the next.
const COMPLETIONS_AT_ONCE_MAX: usize = 20;

/// Why two accounts are not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeRefusal {
    /// They are one account.
    #[error("an account is not merged into itself")]
    SameAccount,
    /// The administrator would end their own account.
    #[error("an administrator does not merge their own account into another")]
    Oneself,
    /// One of them is suspended or about to be erased: that is to be settled first.
    #[error("both accounts must be in use")]
    NotInUse,
    /// More identities would sign in as one user than may.
    #[error("more than {IDENTITIES_PER_USER_MAX} identities would sign in as one user")]
    TooManyIdentities,
}

/// The survivor of a merge, with what is to be stored together with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The survivor.
    pub user: User,
    /// The claim on the username that the other account had, which is the survivor's now: in use, or
    /// held for them.
    pub claim: Option<Claim>,
    /// Where members find the survivor from now on.
    pub entered: Vec<PlaceChange>,
    /// Where they found the other account.
    pub left: Vec<Place>,
    /// What becomes of the other account's address.
    pub address: AddressTransfer,
    /// When.
    pub at: Timestamp,
}

/// What becomes of the address of an account that is merged into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressTransfer {
    /// It had none.
    None,
    /// The survivor has an address, so nobody claims this one any more.
    Released(String),
    /// It becomes the survivor's, as soon as the CRM has let go of the other account's contact: two
    /// contacts with one address cannot be.
    Taken(String),
}

/// What the survivor of a merge becomes. `identities` sign in as `from`, and `claim` is the one on its
/// username.
pub fn accounts(
    into: &User,
    from: &User,
    (identities, claim): (u32, Option<&Claim>),
    operator: &UserId,
    now: Timestamp,
) -> Result<Merged, MergeRefusal> {
    if into.id == from.id {
        return Err(MergeRefusal::SameAccount);
    }
    if from.id == *operator {
        return Err(MergeRefusal::Oneself);
    }
    if into.standing != Standing::Active || from.standing != Standing::Active {
        return Err(MergeRefusal::NotInUse);
    }
    let identities = into.identities.saturating_add(identities);
    if identities > IDENTITIES_PER_USER_MAX {
        return Err(MergeRefusal::TooManyIdentities);
    }
    let takes_name = into.username.is_none();
    let claim = claim.map(|claim| Claim {
        user: into.id.clone(),
        held_until: (!takes_name).then(|| after_seconds(now, USERNAME_HELD_SECONDS)),
        version: claim.version + 1,
        ..claim.clone()
    });
    let address = match (&into.email, &from.email) {
        (_, None) => AddressTransfer::None,
        (Some(_), Some(email)) => AddressTransfer::Released(email.clone()),
        (None, Some(email)) => AddressTransfer::Taken(email.clone()),
    };
    let user = united(into, from, identities);
    let entered = place_changes(Some(into), Some(&user));
    let left = places(from).difference(&places(&user)).cloned().collect();
    Ok(Merged { user, claim, entered, left, address, at: now })
}

fn united(into: &User, from: &User, identities: u32) -> User {
    let takes_name = into.username.is_none();
    let (given_name, given) =
        name((&into.given_name, into.own_names.given), (&from.given_name, from.own_names.given));
    let (family_name, family) = name(
        (&into.family_name, into.own_names.family),
        (&from.family_name, from.own_names.family),
    );
    let filled_names = Field::of_names(
        into.given_name.is_empty() && !given_name.is_empty(),
        into.family_name.is_empty() && !family_name.is_empty(),
    );
    let granted_roles = sorted([into.granted_roles.as_slice(), &from.granted_roles].concat());
    let plan = if into.plan == Plan::Free { from.plan } else { into.plan };
    User {
        identities,
        given_name,
        family_name,
        own_names: OwnNames { given, family },
        granted_roles,
        plan,
        verified: into.verified || from.verified,
        joined_at: into.joined_at.min(from.joined_at),
        last_seen_at: into.last_seen_at.max(from.last_seen_at),
        username: into.username.clone().or_else(|| from.username.clone()),
        renamed_at: if takes_name { from.renamed_at } else { into.renamed_at },
        profile: profile(&into.profile, &from.profile, filled_names),
        version: into.version + 1,
        profile_version: into.profile_version + 1,
        desk_version: into.desk_version + 1,
        ..into.clone()
    }
}

/// A name that its user removed by hand stays removed.
fn name((into, own): (&str, bool), (from, from_own): (&str, bool)) -> (String, bool) {
    if into.is_empty() && !own { (from.to_owned(), from_own) } else { (into.to_owned(), own) }
}

impl Field {
    fn of_names(given: bool, family: bool) -> Vec<Self> {
        let filled = [(given, Self::GivenName), (family, Self::FamilyName)];
        filled.into_iter().filter(|(filled, _)| *filled).map(|(_, field)| field).collect()
    }
}

/// Fills gaps, and remembers which.
struct Filling(Vec<Field>);

impl Filling {
    fn fact<T: Clone>(&mut self, field: Field, into: Option<&T>, from: Option<&T>) -> Option<T> {
        if into.is_none() && from.is_some() {
            self.0.push(field);
        }
        into.or(from).cloned()
    }

    fn list(&mut self, field: Field, into: &[String], from: &[String]) -> Vec<String> {
        if into.is_empty() && !from.is_empty() {
            self.0.push(field);
            return from.to_vec();
        }
        into.to_vec()
    }
}

fn profile(into: &Profile, from: &Profile, filled_names: Vec<Field>) -> Profile {
    let mut filling = Filling(filled_names);
    let about = if into.about.is_empty() && !from.about.is_empty() {
        filling.0.push(Field::About);
        from.about.clone()
    } else {
        into.about.clone()
    };
    let (into_looks, from_looks) = (&into.physical, &from.physical);
    let (into_ways, from_ways) = (&into.contacts, &from.contacts);
    let mut united = Profile {
        about,
        avatar_url: filling.fact(
            Field::AvatarUrl,
            into.avatar_url.as_ref(),
            from.avatar_url.as_ref(),
        ),
        categories: filling.list(Field::Categories, &into.categories, &from.categories),
        skills: filling.list(Field::Skills, &into.skills, &from.skills),
        languages: filling.list(Field::Languages, &into.languages, &from.languages),
        birth_date: filling.fact(Field::Age, into.birth_date.as_ref(), from.birth_date.as_ref()),
        physical: Physical {
            height_cm: filling.fact(
                Field::HeightCm,
                into_looks.height_cm.as_ref(),
                from_looks.height_cm.as_ref(),
            ),
            hair_colour: filling.fact(
                Field::HairColour,
                into_looks.hair_colour.as_ref(),
                from_looks.hair_colour.as_ref(),
            ),
            eye_colour: filling.fact(
                Field::EyeColour,
                into_looks.eye_colour.as_ref(),
                from_looks.eye_colour.as_ref(),
            ),
        },
        contacts: Contacts {
            phone: filling.fact(Field::Phone, into_ways.phone.as_ref(), from_ways.phone.as_ref()),
            website: filling.fact(
                Field::Website,
                into_ways.website.as_ref(),
                from_ways.website.as_ref(),
            ),
            city: filling.fact(Field::City, into_ways.city.as_ref(), from_ways.city.as_ref()),
            country: filling.fact(
                Field::Country,
                into_ways.country.as_ref(),
                from_ways.country.as_ref(),
            ),
        },
        visibility: into.visibility.clone(),
    };
    // That there is a profile at all is as hidden as the more hidden of the two was.
    for field in filling.0.into_iter().chain([Field::Profile]) {
        let narrower = into.visibility(field).min(from.visibility(field));
        if narrower == field.default_visibility() {
            united.visibility.remove(&field);
        } else {
            united.visibility.insert(field, narrower);
        }
    }
    united
}

/// The survivor with the address that the other account had, unless they have one by now. Stored in
/// either case, so that the CRM hears of the survivor once more.
pub fn with_address(user: User, address: &str) -> User {
    let email = user.email.clone().or_else(|| Some(address.to_owned()));
    User { email, version: user.version + 1, ..user }
}

/// What changes for the survivor, who learned `into`, when `from` becomes theirs as well: a portion of
/// what the other account did, which is no more the other's in the same write.
pub fn learning(into: &Learner, from: &Learner, catalog: &Catalog, now: Timestamp) -> Changes {
    let mut changes = Changes::default();
    let mut after = into.clone();
    for (slug, theirs) in &from.modules {
        let united = match into.modules.get(slug) {
            Some(own) => module(own, theirs),
            None => theirs.clone(),
        };
        if into.modules.get(slug) != Some(&united) {
            changes.modules.push(united.clone());
        }
        after.modules.insert(slug.clone(), united);
    }
    for (target, theirs) in &from.enrollments {
        if let Some(united) = enrollment(into.enrollments.get(target), theirs, now) {
            changes.enrollments.push(united);
        }
    }
    for (target, theirs) in &from.completions {
        let united = match into.completions.get(target) {
            Some(own) => earlier(own, theirs, |completion| completion.completed_at),
            None => theirs,
        };
        if into.completions.get(target) != Some(united) {
            changes.completions.push(united.clone());
        }
        after.completions.insert(target.clone(), united.clone());
    }
    let missing = after.missing_completions(catalog, now);
    changes.completions.extend(missing.into_iter().take(COMPLETIONS_AT_ONCE_MAX));
    changes.viewed = match (&into.viewed, &from.viewed) {
        (Some(own), Some(theirs)) if own.viewed_at >= theirs.viewed_at => None,
        (_, theirs) => theirs.clone(),
    };
    changes
}

/// A portion of what somebody did: `records_max` of the records, and the page viewed last.
pub fn portion(learner: &Learner, records_max: usize) -> Learner {
    let modules: Vec<_> = learner.modules.iter().take(records_max).collect();
    let left = records_max - modules.len();
    let enrollments: Vec<_> = learner.enrollments.iter().take(left).collect();
    let left = left - enrollments.len();
    let completions = learner.completions.iter().take(left);
    let owned =
        |(key, value): (&crate::enrollment::Target, &Completion)| (key.clone(), value.clone());
    Learner {
        modules: modules.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        enrollments: enrollments
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        completions: completions.map(owned).collect(),
        viewed: learner.viewed.clone(),
        version: learner.version,
    }
}

/// Places that become free, of those that both accounts held: one person needs one.
pub fn places_freed(into: Option<&Enrollment>, from: &Enrollment) -> bool {
    into.is_some_and(|own| own.holds_place) && from.holds_place
}

fn module(own: &ModuleProgress, theirs: &ModuleProgress) -> ModuleProgress {
    let mut tasks = own.tasks.clone();
    for (slug, record) in &theirs.tasks {
        let united = match own.tasks.get(slug) {
            Some(own) => task(own, record),
            None => record.clone(),
        };
        tasks.insert(slug.clone(), united);
    }
    ModuleProgress {
        module: own.module.clone(),
        started_at: own.started_at.min(theirs.started_at),
        completion: match (&own.completion, &theirs.completion) {
            (Some(own), Some(theirs)) => {
                let at = |completion: &ModuleCompletion| completion.completed_at;
                Some(earlier(own, theirs, at).clone())
            }
            (own, theirs) => own.clone().or_else(|| theirs.clone()),
        },
        tasks,
    }
}

fn task(own: &TaskRecord, theirs: &TaskRecord) -> TaskRecord {
    let done_at = own.done_at.into_iter().chain(theirs.done_at).min();
    // What is done waits for no validator, and what waits for one goes on waiting whatever was refused,
    // each with the evidence that it is about.
    let rank = |record: &TaskRecord| {
        let waits = matches!(record.review, Some(Review::Pending(_)));
        (record.done_at.is_some(), waits)
    };
    let (first, second) = if rank(theirs) > rank(own) { (theirs, own) } else { (own, theirs) };
    TaskRecord {
        attempts: own.attempts.saturating_add(theirs.attempts),
        best_score: own.best_score.max(theirs.best_score),
        done_at,
        last_at: own.last_at.max(theirs.last_at),
        failed_at: own.failed_at.max(theirs.failed_at),
        evidence_url: first.evidence_url.clone().or_else(|| second.evidence_url.clone()),
        review: first.review.or(second.review).filter(|_| done_at.is_none()),
        grading: match (&own.grading, &theirs.grading) {
            (Some(own), Some(theirs)) if theirs.at > own.at => Some(theirs.clone()),
            (own, theirs) => own.clone().or_else(|| theirs.clone()),
        },
    }
}

/// The first time wins; the survivor's, of two at once.
fn earlier<'both, T>(own: &'both T, theirs: &'both T, at: impl Fn(&T) -> Timestamp) -> &'both T {
    if at(theirs) < at(own) { theirs } else { own }
}

/// The enrolment after both became one, or `None` when the survivor's stays as it is. Whoever was
/// enrolled by either account is enrolled.
fn enrollment(own: Option<&Enrollment>, theirs: &Enrollment, now: Timestamp) -> Option<Enrollment> {
    let Some(own) = own else {
        return Some(Enrollment { version: 1, updated_at: now, ..theirs.clone() });
    };
    let first = earlier(own, theirs, |enrollment| enrollment.enrolled_at);
    let withdrawn_at = match (own.withdrawn_at, theirs.withdrawn_at) {
        (Some(own), Some(theirs)) => Some(own.max(theirs)),
        (None, _) | (_, None) => None,
    };
    let united = Enrollment {
        source: first.source.clone(),
        enrolled_at: first.enrolled_at,
        withdrawn_at,
        holds_place: own.holds_place || theirs.holds_place,
        ..own.clone()
    };
    let written = Enrollment { version: own.version + 1, updated_at: now, ..united.clone() };
    (united != *own).then_some(written)
}

/// The survivor's side of a connection that the other account had with somebody; `None` when the
/// survivor's stays as it is. Whoever asked either of the two asked both.
pub fn connection(
    into: &UserId,
    own: Option<&Connection>,
    theirs: &Connection,
) -> Option<Connection> {
    let Some(own) = own else {
        return Some(Connection { own: into.clone(), version: 1, ..theirs.clone() });
    };
    let state = if own.state == theirs.state { own.state } else { ConnectionState::Connected };
    if state == own.state {
        return None;
    }
    let since = if theirs.state == state { theirs.since } else { own.since.max(theirs.since) };
    Some(Connection { state, since, version: own.version + 1, ..own.clone() })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{CatalogVersion, Course, Module, Task};
    use crate::enrollment::{Target, enroll};
    use crate::learning::Status;
    use crate::profile::Visibility;
    use crate::random::SeededRandom;
    use crate::slug::Slug;
    use crate::user::Identity;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn id(seed: u64) -> UserId {
        UserId::new(at(0), &SeededRandom::new(seed))
    }

    fn user(seed: u64, email: Option<&str>) -> User {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: seed.to_string(),
            email: email.map(ToOwned::to_owned),
            email_verified: true,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
        };
        User::join(identity, None, at(10), &SeededRandom::new(seed)).unwrap().user
    }

    fn named(user: User, name: &str) -> User {
        User { username: Some(name.parse().unwrap()), ..user }
    }

    fn claim(user: &User) -> Option<Claim> {
        let username = user.username.clone()?;
        Some(Claim { username, user: user.id.clone(), held_until: None, version: 4 })
    }

    fn merge(into: &User, from: &User) -> Result<Merged, MergeRefusal> {
        accounts(into, from, (from.identities, claim(from).as_ref()), &id(99), at(100))
    }

    #[test]
    fn what_cannot_be_merged_is_refused() {
        let (into, from) = (user(1, None), user(2, None));
        let suspended = from.clone().suspend(at(1)).unwrap();
        let leaving = into.clone().leave(at(1)).unwrap();
        let crowd = User { identities: IDENTITIES_PER_USER_MAX, ..into.clone() };
        for (into, from, operator, refusal) in [
            (&into, &into, id(99), MergeRefusal::SameAccount),
            (&into, &from, from.id.clone(), MergeRefusal::Oneself),
            (&into, &suspended, id(99), MergeRefusal::NotInUse),
            (&leaving, &from, id(99), MergeRefusal::NotInUse),
            (&crowd, &from, id(99), MergeRefusal::TooManyIdentities),
        ] {
            assert_eq!(accounts(into, from, (1, None), &operator, at(1)), Err(refusal));
        }
        assert!(accounts(&into, &from, (1, None), &into.id, at(1)).is_ok());
    }

    #[test]
    fn names_and_addresses_are_the_survivors_and_otherwise_the_others() {
        let bare = user(1, None);
        let full = named(user(2, Some("ada@one.example")), "ada");
        let other = named(user(3, Some("ada@two.example")), "countess");
        let taken = merge(&bare, &full).unwrap();
        assert_eq!(taken.user.username, full.username);
        assert_eq!(taken.address, AddressTransfer::Taken("ada@one.example".to_owned()));
        assert_eq!(taken.user.email, None, "the CRM has to let go of it first");
        let in_use = taken.claim.unwrap();
        assert_eq!((in_use.user, in_use.held_until, in_use.version), (bare.id.clone(), None, 5));
        let kept = merge(&other, &full).unwrap();
        assert_eq!((&kept.user.username, &kept.user.email), (&other.username, &other.email));
        assert_eq!(kept.address, AddressTransfer::Released("ada@one.example".to_owned()));
        let held = kept.claim.unwrap();
        assert_eq!(held.user, other.id);
        assert_eq!(held.held_until, Some(after_seconds(at(100), USERNAME_HELD_SECONDS)));
        assert_eq!(merge(&full, &bare).unwrap().address, AddressTransfer::None);
    }

    #[test]
    fn who_is_found_is_found_as_the_survivor() {
        let profile = Profile { skills: vec!["Sewing".to_owned()], ..Profile::default() };
        let from = User { profile, ..named(user(2, None), "ada") };
        let into = named(user(1, None), "countess");
        let kept = merge(&into, &from).unwrap();
        assert_eq!(kept.left.len(), 2);
        assert_eq!(kept.entered.len(), 1, "{:?}", kept.entered);
        let taken = merge(&user(1, None), &from).unwrap();
        assert_eq!(taken.left, [], "the survivor stands where the other one stood");
        assert_eq!(taken.entered.len(), 2);
    }

    fn visibility() -> impl Strategy<Value = BTreeMap<Field, Visibility>> {
        let field = prop::sample::select(Field::ALL.to_vec());
        btree_map(field, prop::sample::select(Visibility::ALL.to_vec()), 0..8)
    }

    fn some_profile() -> impl Strategy<Value = Profile> {
        let text = || prop::option::of("[a-z]{1,4}");
        let facts = (text(), text(), text(), prop::option::of(100_u16..200));
        (facts, vec("[a-z]{1,4}", 0..3), visibility()).prop_map(|(facts, skills, visibility)| {
            let (about, phone, city, height_cm) = facts;
            Profile {
                about: about.unwrap_or_default(),
                skills,
                physical: Physical { height_cm, ..Physical::default() },
                contacts: Contacts { phone, city, ..Contacts::default() },
                visibility,
                ..Profile::default()
            }
        })
    }

    fn record() -> impl Strategy<Value = TaskRecord> {
        let times = (prop::option::of(1_i64..50), 1_i64..50, prop::option::of(1_i64..50));
        (0_u32..5, prop::option::of(0_u32..100), times).prop_map(|(attempts, best_score, times)| {
            TaskRecord {
                attempts,
                best_score,
                done_at: times.0.map(at),
                last_at: at(times.1),
                failed_at: times.2.map(at),
                evidence_url: None,
                grading: None,
                review: None,
            }
        })
    }

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn catalog() -> Catalog {
        let names = ["a", "b", "c"];
        let module = |name: &&str| {
            Module::new(slug(name), name, vec![Task::lab(slug("x")), Task::lab(slug("y"))])
        };
        let course = Course::new(slug("all"), "all", names.map(slug).to_vec());
        Catalog::new(Vec::new(), vec![course], names.iter().map(module).collect()).unwrap()
    }

    fn target() -> Target {
        Target::course(slug("all"))
    }

    fn learner() -> impl Strategy<Value = Learner> {
        let tasks = btree_map(prop::sample::select(vec![slug("x"), slug("y")]), record(), 0..3);
        let names = prop::sample::select(vec![slug("a"), slug("b"), slug("c")]);
        let modules = btree_map(names, (1_i64..50, tasks, prop::option::of(1_i64..50)), 0..4);
        let enrolled = prop::option::of((1_i64..50, prop::option::of(1_i64..50), any::<bool>()));
        (modules, enrolled, prop::option::of(1_i64..50)).prop_map(
            |(modules, enrolled, completed)| {
                let version = CatalogVersion::default();
                let module = |(name, (started, tasks, done)): (Slug, (i64, _, Option<i64>))| {
                    let completion = done.map(|done| ModuleCompletion {
                        completed_at: at(done),
                        version: version.clone(),
                        tasks: Vec::new(),
                    });
                    let progress = ModuleProgress {
                        module: name.clone(),
                        started_at: at(started),
                        completion,
                        tasks,
                    };
                    (name, progress)
                };
                let terms = crate::catalog::Terms::default();
                let enrollment = enrolled.map(|(since, left, holds_place)| Enrollment {
                    withdrawn_at: left.map(at),
                    holds_place: holds_place && left.is_none(),
                    ..enroll(None, &target(), &terms, None, at(since)).unwrap()
                });
                let completion = completed.map(|completed| Completion {
                    target: target(),
                    version: version.clone(),
                    modules: Vec::new(),
                    completed_at: at(completed),
                });
                Learner {
                    modules: modules.into_iter().map(module).collect(),
                    enrollments: enrollment.into_iter().map(|one| (target(), one)).collect(),
                    completions: completion.into_iter().map(|one| (target(), one)).collect(),
                    ..Learner::default()
                }
            },
        )
    }

    fn apply(mut learner: Learner, changes: Changes) -> Learner {
        learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
        learner.enrollments.extend(changes.enrollments.into_iter().map(|e| (e.target.clone(), e)));
        learner.completions.extend(changes.completions.into_iter().map(|c| (c.target.clone(), c)));
        learner.viewed = changes.viewed.or(learner.viewed);
        learner
    }

    /// All of `from` in portions, as it is moved.
    fn united(into: &Learner, from: &Learner, records: usize) -> Learner {
        let (mut after, mut rest) = (into.clone(), from.clone());
        for _portion in 0..20 {
            let part = portion(&rest, records);
            after = apply(after.clone(), learning(&after, &part, &catalog(), at(200)));
            rest.modules.retain(|slug, _| !part.modules.contains_key(slug));
            rest.enrollments.retain(|target, _| !part.enrollments.contains_key(target));
            rest.completions.retain(|target, _| !part.completions.contains_key(target));
        }
        assert!(rest.modules.is_empty() && rest.enrollments.is_empty());
        after
    }

    /// Without what counts writes.
    fn facts(learner: &Learner) -> Learner {
        let mut facts = learner.clone();
        for enrollment in facts.enrollments.values_mut() {
            (enrollment.version, enrollment.updated_at) = (0, at(0));
        }
        facts
    }

    #[test]
    fn what_waits_for_a_validator_goes_on_waiting_and_what_is_done_for_nobody() {
        let claimed = |evidence: &str, done_at: Option<i64>, review| TaskRecord {
            attempts: 1,
            best_score: None,
            done_at: done_at.map(at),
            last_at: at(1),
            failed_at: None,
            evidence_url: Some(evidence.to_owned()),
            grading: None,
            review,
        };
        let done = claimed("done", Some(1), None);
        let pending = claimed("pending", None, Some(Review::Pending(at(2))));
        let refused = claimed("refused", None, Some(Review::Refused(at(3))));
        for (one, other, expected) in [
            (&refused, &pending, &pending),
            (&done, &pending, &done),
            (&done, &refused, &done),
            (&pending, &pending, &pending),
        ] {
            for united in [task(one, other), task(other, one)] {
                assert_eq!(united, TaskRecord { attempts: 2, ..expected.clone() });
            }
        }
    }

    proptest! {
        #[test]
        fn whichever_survives_and_however_it_is_portioned_the_learning_is_the_same(
            one in learner(),
            other in learner(),
            records in 1_usize..6,
        ) {
            let together = facts(&united(&one, &other, 100));
            prop_assert_eq!(&facts(&united(&one, &other, records)), &together);
            prop_assert_eq!(&facts(&united(&other, &one, records)), &together);
        }

        #[test]
        fn nothing_that_was_done_is_lost_or_taken_back(one in learner(), other in learner()) {
            let after = united(&one, &other, 3);
            for before in [&one, &other] {
                for (name, progress) in &before.modules {
                    let now = &after.modules[name];
                    prop_assert!(now.started_at <= progress.started_at);
                    prop_assert!(now.completion.is_some() || progress.completion.is_none());
                    for (task, record) in &progress.tasks {
                        let united = &now.tasks[task];
                        prop_assert!(united.done_at.is_some() || record.done_at.is_none());
                        prop_assert!(united.best_score >= record.best_score);
                        prop_assert!(united.attempts >= record.attempts);
                    }
                }
                for (target, enrollment) in &before.enrollments {
                    let now = &after.enrollments[target];
                    prop_assert!(now.is_active() || !enrollment.is_active());
                    prop_assert!(now.enrolled_at <= enrollment.enrolled_at);
                    prop_assert!(now.holds_place || !enrollment.holds_place);
                }
                for target in before.completions.keys() {
                    prop_assert!(after.completions.contains_key(target));
                }
                let (status, ..) = before.target_status(&catalog(), &target());
                if status == Status::Complete {
                    prop_assert!(after.completions.contains_key(&target()));
                }
            }
            let (status, ..) = after.target_status(&catalog(), &target());
            prop_assert_eq!(status == Status::Complete, after.completions.contains_key(&target()));
        }

        #[test]
        fn the_survivors_words_stay_and_gaps_are_filled_for_no_wider_audience(
            own in some_profile(),
            theirs in some_profile(),
        ) {
            let after = profile(&own, &theirs, Vec::new());
            let pairs = [
                (Field::About, &own.about, &theirs.about, &after.about),
            ];
            for (field, own_text, their_text, text) in pairs {
                prop_assert_eq!(text, if own_text.is_empty() { their_text } else { own_text });
                if own_text.is_empty() && !their_text.is_empty() {
                    prop_assert!(after.visibility(field) <= theirs.visibility(field));
                }
            }
            prop_assert_eq!(&after.contacts.phone, &own.contacts.phone.clone().or(theirs.contacts.phone.clone()));
            prop_assert_eq!(after.physical.height_cm, own.physical.height_cm.or(theirs.physical.height_cm));
            prop_assert_eq!(&after.skills, if own.skills.is_empty() { &theirs.skills } else { &own.skills });
            for field in Field::ALL {
                prop_assert!(after.visibility(field) <= own.visibility(field));
            }
            prop_assert!(after.visibility(Field::Profile) <= theirs.visibility(Field::Profile));
            // Merging the same again changes nothing.
            prop_assert_eq!(profile(&after, &theirs, Vec::new()), after);
        }

        #[test]
        fn whoever_asked_one_of_two_accounts_asked_the_survivor(own in 0_usize..4, theirs in 0_usize..4) {
            // Who asked: nobody, this side, the other side, both.
            let asked = [vec![], vec!["own"], vec!["other"], vec!["own", "other"]];
            let side = |user: UserId, index: usize| {
                let state = match index {
                    0 => return None,
                    1 => ConnectionState::Asked,
                    2 => ConnectionState::AskedBy,
                    _ => ConnectionState::Connected,
                };
                Some(Connection { own: user, other: id(3), state, since: at(1), version: 2 })
            };
            let before = side(id(1), own);
            let Some(moved) = side(id(2), theirs) else { return Ok(()) };
            let after = connection(&id(1), before.as_ref(), &moved).or(before).unwrap();
            let union: BTreeSet<&str> = asked[own].iter().chain(&asked[theirs]).copied().collect();
            let expected = match (union.contains("own"), union.contains("other")) {
                (true, true) => ConnectionState::Connected,
                (true, false) => ConnectionState::Asked,
                (false, _) => ConnectionState::AskedBy,
            };
            prop_assert_eq!((after.own, after.state), (id(1), expected));
        }
    }
}
