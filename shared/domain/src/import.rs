//! What an earlier system recorded of somebody, as the tree of JSON that it kept in a property of the
//! CRM's contact, and what of it becomes ours.
//!
//! An import adds and never changes: what we hold already stays as it is. It remembers what it wrote,
//! so that it can be undone where nobody has gone on from there. A tree that is odd in places is
//! imported but for these, and each of them is told.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::catalog::{Catalog, CatalogVersion, Course};
use crate::enrollment::{Enrollment, Target, TargetKind};
use crate::learning::Learner;
use crate::limits::{
    ENROLLMENT_SOURCE_CHARACTERS_MAX, IMPORT_PLACE_CHARACTERS_MAX, IMPORT_RECORDS_AT_ONCE_MAX,
};
use crate::merge::portion;
use crate::progress::{Changes, Completion, ModuleCompletion, ModuleProgress};
use crate::slug::Slug;
use crate::text::normalize_required;
use crate::time::{Timestamp, start_of_day};

/// The source of an enrolment of which the earlier system does not say where it came from.
pub const IMPORT_SOURCE: &str = "import";

/// The tree: pathways by slug, and under `courses` the courses that belong to none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tree {
    /// Courses outside of pathways.
    #[serde(default)]
    courses: BTreeMap<String, Node>,
    /// Pathways.
    #[serde(flatten)]
    pathways: BTreeMap<String, Node>,
}

/// A pathway, a course or a module of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    enrolled: bool,
    enrolled_at: Option<String>,
    enrollment_source: Option<String>,
    started: bool,
    started_at: Option<String>,
    completed: bool,
    completed_at: Option<String>,
    courses: BTreeMap<String, Self>,
    modules: BTreeMap<String, Self>,
}

/// What somebody did, by the earlier system's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// What they joined, when, and where that came from.
    pub enrollments: BTreeMap<Target, (Timestamp, Option<String>)>,
    /// The modules they began, and completed.
    pub modules: BTreeMap<Slug, PastModule>,
    /// The courses and pathways they completed.
    pub completions: BTreeMap<Target, Timestamp>,
}

/// What somebody did in a module, by the earlier system's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastModule {
    /// When they began it.
    pub started_at: Timestamp,
    /// When they completed it.
    pub completed_at: Option<Timestamp>,
}

/// A place of the tree that is not imported as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Where, such as `network-basics/courses/routing/modules/bgp`; of a long place the beginning.
    pub place: String,
    /// What is odd.
    pub kind: OddityKind,
}

/// What is odd about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddityKind {
    /// The catalogue has nothing of that name.
    Unknown,
    /// A time cannot be read; what happened counts as of the tree's last change.
    TimeUnreadable,
    /// Nobody knows when it happened, so it is left out.
    TimeMissing,
    /// It is of the future, so it counts as of now.
    Future,
}

impl OddityKind {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::TimeUnreadable => "time-unreadable",
            Self::TimeMissing => "time-missing",
            Self::Future => "future",
        }
    }
}

/// What an import wrote, and when each thing is said to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// When the import ran first.
    pub at: Timestamp,
    /// Enrolments.
    pub enrollments: BTreeMap<Target, Timestamp>,
    /// Modules that nobody had begun here.
    pub started: BTreeMap<Slug, Timestamp>,
    /// Modules that nobody had completed here.
    pub completed: BTreeMap<Slug, Timestamp>,
    /// Courses and pathways.
    pub completions: BTreeMap<Target, Timestamp>,
}

/// What is undone of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// Records that are removed.
    pub removed: Learner,
    /// Modules that were begun here and lose the completion that the import brought.
    pub changes: Changes,
    /// What stays, since somebody has gone on from there.
    pub kept: Vec<String>,
}

impl Undo {
    /// How many records are removed or changed.
    pub fn len(&self) -> usize {
        let Learner { enrollments, modules, completions, .. } = &self.removed;
        enrollments.len() + modules.len() + completions.len() + self.changes.len()
    }

    /// Whether nothing is removed or changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As much of it as one write can hold, and whether that is all.
    #[must_use]
    pub fn portion(mut self) -> (Self, bool) {
        let whole = self.len() <= IMPORT_RECORDS_AT_ONCE_MAX;
        self.changes.modules.truncate(IMPORT_RECORDS_AT_ONCE_MAX);
        let left = IMPORT_RECORDS_AT_ONCE_MAX - self.changes.modules.len();
        self.removed = portion(&self.removed, left);
        (self, whole)
    }
}

struct Reader<'reader> {
    catalog: &'reader Catalog,
    fallback: Option<Timestamp>,
    now: Timestamp,
    past: Past,
    oddities: Vec<Oddity>,
}

/// What a tree says. `changed_at` is when it was last changed, if the earlier system tells.
pub fn read(
    tree: &Tree,
    catalog: &Catalog,
    changed_at: Option<&str>,
    now: Timestamp,
) -> (Past, Vec<Oddity>) {
    let fallback = changed_at.and_then(instant).map(|at| at.min(now));
    let (past, oddities) = (Past::default(), Vec::new());
    let mut reader = Reader { catalog, fallback, now, past, oddities };
    for (name, node) in &tree.pathways {
        reader.whole(TargetKind::Pathway, name, name, node);
    }
    for (name, node) in &tree.courses {
        reader.whole(TargetKind::Course, name, &format!("courses/{name}"), node);
    }
    (reader.past, reader.oddities)
}

/// An instant, or a day, which counts from its beginning (UTC).
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| start_of_day(text))
}

/// A name as we write them: the earlier system took any letters for the same.
fn slug(name: &str) -> Option<Slug> {
    name.trim().to_lowercase().parse().ok()
}

impl Reader<'_> {
    fn odd(&mut self, place: &str, kind: OddityKind) {
        let place = place.chars().take(IMPORT_PLACE_CHARACTERS_MAX).collect();
        self.oddities.push(Oddity { place, kind });
    }

    /// When something happened; what is odd about that is told.
    fn time(&mut self, place: &str, told: Option<&str>, other: Option<&str>) -> Option<Timestamp> {
        let read = told.and_then(instant).or_else(|| other.and_then(instant));
        if let Some(at) = read {
            if at > self.now {
                self.odd(place, OddityKind::Future);
            }
            return Some(at.min(self.now));
        }
        let kind = if self.fallback.is_some() {
            OddityKind::TimeUnreadable
        } else {
            OddityKind::TimeMissing
        };
        self.odd(place, kind);
        self.fallback
    }

    fn whole(&mut self, kind: TargetKind, name: &str, place: &str, node: &Node) {
        for (name, course) in &node.courses {
            self.whole(TargetKind::Course, name, &format!("{place}/courses/{name}"), course);
        }
        for (name, module) in &node.modules {
            self.module(name, &format!("{place}/modules/{name}"), module);
        }
        let target = slug(name).map(|slug| Target { kind, slug });
        let known = target.filter(|target| match kind {
            TargetKind::Pathway => self.catalog.pathway(&target.slug).is_some(),
            TargetKind::Course => self.catalog.course(&target.slug).is_some(),
        });
        let Some(target) = known else {
            return self.odd(place, OddityKind::Unknown);
        };
        if node.enrolled
            && let Some(at) =
                self.time(place, node.enrolled_at.as_deref(), node.started_at.as_deref())
        {
            let source = node.enrollment_source.as_deref();
            let source = source
                .and_then(|text| normalize_required(text, ENROLLMENT_SOURCE_CHARACTERS_MAX).ok());
            let first = self.past.enrollments.entry(target.clone()).or_insert((at, source.clone()));
            if at < first.0 {
                *first = (at, source);
            }
        }
        if node.completed
            && let Some(at) = self.time(place, node.completed_at.as_deref(), None)
        {
            let first = self.past.completions.entry(target).or_insert(at);
            *first = at.min(*first);
        }
    }

    fn module(&mut self, name: &str, place: &str, node: &Node) {
        let module = slug(name).filter(|slug| self.catalog.module(slug).is_some());
        let Some(module) = module else {
            return self.odd(place, OddityKind::Unknown);
        };
        if !node.started && !node.completed {
            return;
        }
        let completed_at = node.completed_at.as_deref();
        let Some(started_at) = self.time(place, node.started_at.as_deref(), completed_at) else {
            return;
        };
        let completed_at = if node.completed { self.time(place, completed_at, None) } else { None };
        let told = PastModule {
            started_at: completed_at.map_or(started_at, |at| at.min(started_at)),
            completed_at,
        };
        let first = self.past.modules.entry(module).or_insert(told);
        first.started_at = first.started_at.min(told.started_at);
        first.completed_at = first.completed_at.into_iter().chain(told.completed_at).min();
    }
}

/// What becomes ours of somebody's past, as far as one write can hold it; nothing when all of it is.
pub fn bring(learner: &Learner, past: &Past, catalog: &Catalog, now: Timestamp) -> Changes {
    let version = CatalogVersion::elsewhere();
    let mut after = learner.clone();
    let mut changes = Changes::default();
    for (slug, told) in &past.modules {
        let own = learner.modules.get(slug);
        let begun = || ModuleProgress::begun(slug.clone(), told.started_at);
        let mut module = own.cloned().unwrap_or_else(begun);
        if let (None, Some(completed_at)) = (&module.completion, told.completed_at) {
            let (version, tasks) = (version.clone(), Vec::new());
            module.completion = Some(ModuleCompletion { completed_at, version, tasks });
        }
        if own != Some(&module) {
            changes.modules.push(module.clone());
        }
        after.modules.insert(slug.clone(), module);
    }
    for (target, (at, source)) in &past.enrollments {
        if !learner.enrollments.contains_key(target) {
            changes.enrollments.push(Enrollment {
                target: target.clone(),
                source: Some(source.clone().unwrap_or_else(|| IMPORT_SOURCE.to_owned())),
                enrolled_at: *at,
                withdrawn_at: None,
                holds_place: false,
                version: 1,
                updated_at: now,
            });
        }
    }
    for (target, at) in &past.completions {
        if !learner.completions.contains_key(target) {
            let completion = Completion {
                target: target.clone(),
                version: version.clone(),
                modules: after.complete_of(catalog, courses_of(catalog, target)),
                completed_at: *at,
            };
            after.completions.insert(target.clone(), completion.clone());
            changes.completions.push(completion);
        }
    }
    let followed = after.missing_completions(catalog, now).into_iter();
    let followed = followed.map(|completion| Completion { version: version.clone(), ..completion });
    changes.completions.extend(followed);
    changes.modules.truncate(IMPORT_RECORDS_AT_ONCE_MAX);
    let left = IMPORT_RECORDS_AT_ONCE_MAX - changes.modules.len();
    changes.enrollments.truncate(left);
    let left = left - changes.enrollments.len();
    changes.completions.truncate(left);
    changes
}

fn courses_of<'catalog>(
    catalog: &'catalog Catalog,
    target: &Target,
) -> impl Iterator<Item = &'catalog Course> {
    let slugs = match target.kind {
        TargetKind::Course => vec![target.slug.clone()],
        TargetKind::Pathway => {
            let courses = catalog.pathway(&target.slug).map(|pathway| pathway.courses.clone());
            courses.unwrap_or_default()
        }
    };
    slugs.into_iter().filter_map(|slug| catalog.course(&slug))
}

/// What of a past is not ours: each thing by its name.
pub fn lacking(learner: &Learner, past: &Past) -> Vec<String> {
    let enrollments = past.enrollments.keys();
    let enrollments = enrollments.filter(|target| !learner.enrollments.contains_key(target));
    let modules = past.modules.iter().filter(|(slug, told)| {
        let own = learner.modules.get(*slug);
        let complete = own.is_some_and(|own| own.completion.is_some());
        own.is_none() || (told.completed_at.is_some() && !complete)
    });
    let completions = past.completions.keys();
    let completions = completions.filter(|target| !learner.completions.contains_key(target));
    enrollments
        .map(|target| format!("enrolment in {target}"))
        .chain(modules.map(|(slug, _)| format!("module {slug}")))
        .chain(completions.map(|target| format!("completion of {target}")))
        .collect()
}

impl Written {
    /// Nothing yet.
    pub fn nothing(at: Timestamp) -> Self {
        Self {
            at,
            enrollments: BTreeMap::new(),
            started: BTreeMap::new(),
            completed: BTreeMap::new(),
            completions: BTreeMap::new(),
        }
    }

    /// With what `changes` add to `learner`.
    #[must_use]
    pub fn with(mut self, learner: &Learner, changes: &Changes) -> Self {
        for module in &changes.modules {
            let own = learner.modules.get(&module.module);
            if own.is_none() {
                self.started.insert(module.module.clone(), module.started_at);
            }
            let had = own.is_some_and(|own| own.completion.is_some());
            if let Some(completion) = module.completion.as_ref().filter(|_| !had) {
                self.completed.insert(module.module.clone(), completion.completed_at);
            }
        }
        let enrollments = changes.enrollments.iter();
        self.enrollments.extend(enrollments.map(|e| (e.target.clone(), e.enrolled_at)));
        let completions = changes.completions.iter();
        self.completions.extend(completions.map(|c| (c.target.clone(), c.completed_at)));
        self
    }

    /// What can be undone for `learner` as they are now.
    pub fn undo(&self, learner: &Learner) -> Undo {
        let mut undo = Undo::default();
        for (target, at) in &self.enrollments {
            let own = learner.enrollments.get(target);
            match own {
                Some(own) if own.version == 1 && own.enrolled_at == *at => {
                    undo.removed.enrollments.insert(target.clone(), own.clone());
                }
                Some(_) => undo.kept.push(format!("enrolment in {target}")),
                None => {}
            }
        }
        let modules: std::collections::BTreeSet<&Slug> =
            self.started.keys().chain(self.completed.keys()).collect();
        for slug in modules {
            let Some(own) = learner.modules.get(slug) else { continue };
            match self.undo_module(slug, own) {
                Undone::Removed => drop(undo.removed.modules.insert(slug.clone(), own.clone())),
                Undone::Changed(module) => undo.changes.modules.push(module),
                Undone::Kept => undo.kept.push(format!("module {slug}")),
                Undone::Before => {}
            }
        }
        for (target, at) in &self.completions {
            match learner.completions.get(target) {
                Some(own) if own.completed_at == *at => {
                    undo.removed.completions.insert(target.clone(), own.clone());
                }
                Some(_) => undo.kept.push(format!("completion of {target}")),
                None => {}
            }
        }
        undo
    }

    fn undo_module(&self, slug: &Slug, own: &ModuleProgress) -> Undone {
        let completed_at = own.completion.as_ref().map(|completion| completion.completed_at);
        let ours = completed_at.is_some() && completed_at == self.completed.get(slug).copied();
        if self.started.get(slug) == Some(&own.started_at) {
            let untouched = own.tasks.is_empty() && (ours || completed_at.is_none());
            return if untouched { Undone::Removed } else { Undone::Kept };
        }
        if completed_at.is_none() && !self.started.contains_key(slug) {
            return Undone::Before;
        }
        let gone_on = own.tasks.values().any(|task| task.last_at > self.at);
        if !ours || gone_on {
            return Undone::Kept;
        }
        Undone::Changed(ModuleProgress { completion: None, ..own.clone() })
    }
}

/// What becomes of a module that an import wrote.
enum Undone {
    /// It goes.
    Removed,
    /// It loses the completion that the import brought.
    Changed(ModuleProgress),
    /// It stays, since somebody has gone on from there.
    Kept,
    /// It has lost that completion already, with a portion before.
    Before,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Course, Module, Pathway, Task};
    use crate::progress::{TaskOutcome, perform};

    fn name(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn catalog() -> Catalog {
        let module = |text: &str| Module::new(name(text), text, vec![Task::lab(name("x"))]);
        let course = Course::new(name("one"), "one", vec![name("a"), name("b")]);
        let path = Pathway::new(name("path"), "path", vec![name("one")]);
        Catalog::new(vec![path], vec![course], ["a", "b", "c"].map(module).to_vec()).unwrap()
    }

    fn tree(text: &str) -> Tree {
        serde_json::from_str(text).unwrap()
    }

    fn apply(learner: &mut Learner, changes: Changes) {
        learner.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
        learner.enrollments.extend(changes.enrollments.into_iter().map(|e| (e.target.clone(), e)));
        learner.completions.extend(changes.completions.into_iter().map(|c| (c.target.clone(), c)));
    }

    fn take_back(learner: &mut Learner, undo: Undo) {
        learner.modules.retain(|slug, _| !undo.removed.modules.contains_key(slug));
        learner.enrollments.retain(|target, _| !undo.removed.enrollments.contains_key(target));
        learner.completions.retain(|target, _| !undo.removed.completions.contains_key(target));
        apply(learner, undo.changes);
    }

    const TREE: &str = r#"{
        "Path": {
            "enrolled": true, "enrolled_at": "1970-01-01T00:01:40Z", "enrollment_source": "catalog",
            "courses": { "one": {
                "enrolled": true, "enrolled_at": "1970-01-02", "completed": true, "completed_at": "soon",
                "modules": {
                    "a": { "started": true, "started_at": "1970-01-01T00:03:00Z" },
                    "b": { "completed": true, "completed_at": "2999-01-01T00:00:00Z" },
                    "gone": { "started": true, "started_at": "1970-01-01T00:03:00Z" },
                    "c": {}
                }
            } }
        },
        "courses": {
            "one": { "modules": { "a": { "completed": true, "completed_at": "1970-01-01T00:02:00Z" } } },
            "__proto__": { "enrolled": true }
        }
    }"#;

    #[test]
    fn s_04_a_tree_is_read_as_far_as_it_makes_sense_and_the_rest_is_told() {
        let now = at(1_000_000);
        let (past, oddities) = read(&tree(TREE), &catalog(), Some("1970-01-05"), now);
        let path = Target::pathway(name("path"));
        let course = Target::course(name("one"));
        assert_eq!(past.enrollments[&path], (at(100), Some("catalog".to_owned())));
        assert_eq!(past.enrollments[&course], (at(86_400), None));
        assert_eq!(past.completions, BTreeMap::from([(course, at(4 * 86_400))]));
        let module = |started, completed: i64| PastModule {
            started_at: at(started),
            completed_at: Some(at(completed)),
        };
        let expected = [(name("a"), module(120, 120)), (name("b"), module(1_000_000, 1_000_000))];
        assert_eq!(past.modules, BTreeMap::from(expected));
        let told: Vec<String> =
            oddities.iter().map(|odd| format!("{} {}", odd.place, odd.kind.as_str())).collect();
        assert_eq!(
            told,
            [
                "Path/courses/one/modules/b future",
                "Path/courses/one/modules/b future",
                "Path/courses/one/modules/gone unknown",
                "Path/courses/one time-unreadable",
                "courses/__proto__ unknown",
            ]
        );
        let (past, oddities) = read(&tree(TREE), &catalog(), None, now);
        assert!(past.completions.is_empty());
        assert!(oddities.iter().any(|odd| odd.kind == OddityKind::TimeMissing));
        let long = "x".repeat(10_000);
        let (_, oddities) = read(&tree(&format!("{{\"{long}\": {{}}}}")), &catalog(), None, now);
        assert_eq!(oddities[0].place.len(), IMPORT_PLACE_CHARACTERS_MAX);
        assert!(serde_json::from_str::<Tree>(r#"{"path": 5}"#).is_err());
    }

    #[test]
    fn an_import_is_undone_where_nobody_has_gone_on() {
        let catalog = catalog();
        let (past, _) = read(&tree(TREE), &catalog, Some("1970-01-05"), at(1_000_000));
        let mut learner = Learner::default();
        let module = catalog.module(&name("b")).unwrap();
        let changes = perform(
            &learner,
            &catalog,
            module,
            &module.tasks[0],
            &TaskOutcome::Graded { score: 1, passed: false },
            at(50),
        );
        apply(&mut learner, changes);
        let before = learner.clone();
        let changes = bring(&learner, &past, &catalog, at(1_000_000));
        let written = Written::nothing(at(1_000_000)).with(&learner, &changes);
        apply(&mut learner, changes);
        assert_eq!(lacking(&learner, &past), Vec::<String>::new());
        assert_eq!(learner.modules[&name("b")].started_at, at(50), "what is ours stays");
        let mut gone_on = learner.clone();
        let undo = written.undo(&learner);
        take_back(&mut learner, undo);
        assert_eq!(learner, before);
        assert_eq!(written.undo(&learner), Undo::default(), "nothing is left to do");
        // Somebody goes on in a module that the import began.
        let module = catalog.module(&name("a")).unwrap();
        let outcome = TaskOutcome::Attested(None);
        let changes =
            perform(&gone_on, &catalog, module, &module.tasks[0], &outcome, at(2_000_000));
        apply(&mut gone_on, changes);
        let undo = written.undo(&gone_on);
        assert_eq!(undo.kept, ["module a"]);
        take_back(&mut gone_on, undo);
        assert!(gone_on.modules.contains_key(&name("a")));
    }

    fn past() -> impl Strategy<Value = Past> {
        let module = (0_i64..50, prop::option::of(0_i64..50));
        let modules =
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), module, 0..3);
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        (modules, flags).prop_map(|(modules, (path, course, done))| {
            let targets =
                [(path, Target::pathway(name("path"))), (course, Target::course(name("one")))];
            let joined = targets.into_iter().filter(|(joined, _)| *joined);
            let modules = modules.into_iter().map(|(text, (started, completed))| {
                let completed_at = completed.map(at);
                (name(text), PastModule { started_at: at(started), completed_at })
            });
            let completions = done.then(|| (Target::course(name("one")), at(9)));
            Past {
                enrollments: joined.map(|(_, target)| (target, (at(7), None))).collect(),
                modules: modules.collect(),
                completions: completions.into_iter().collect(),
            }
        })
    }

    proptest! {
        /// Whatever somebody has, an import brings all that lacks, a second one nothing, and undoing it
        /// leaves what was there.
        #[test]
        fn an_import_twice_is_one_and_undone_is_none(own in past(), other in past()) {
            let catalog = catalog();
            let mut learner = Learner::default();
            let changes = bring(&learner, &own, &catalog, at(100));
            apply(&mut learner, changes);
            let before = learner.clone();
            let changes = bring(&learner, &other, &catalog, at(200));
            let written = Written::nothing(at(200)).with(&learner, &changes);
            apply(&mut learner, changes);
            prop_assert_eq!(lacking(&learner, &other), Vec::<String>::new());
            prop_assert_eq!(bring(&learner, &other, &catalog, at(300)).len(), 0);
            for (slug, module) in &before.modules {
                let now = &learner.modules[slug];
                prop_assert_eq!(now.started_at, module.started_at);
                prop_assert!(module.completion.is_none() || now.completion == module.completion);
            }
            let undo = written.undo(&learner);
            prop_assert_eq!(&undo.kept, &Vec::<String>::new());
            take_back(&mut learner, undo);
            prop_assert_eq!(&learner, &before);
            prop_assert_eq!(written.undo(&learner), Undo::default());
        }
    }
}
