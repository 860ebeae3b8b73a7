//! The catalogue: pathways made of courses, courses made of modules, modules with tasks.
//!
//! A [`Catalog`] is the structure alone. What a module says and what its quizzes ask, with the keys,
//! is kept apart in an [`Edition`], so that whoever only needs the structure never holds a key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{
    CATALOG_ENTRIES_MAX, CHILDREN_MAX, ESTIMATED_MINUTES_MAX, STREAK_DAYS_MAX,
    SUMMARY_CHARACTERS_MAX, TAG_CHARACTERS_MAX, TAGS_MAX, TASKS_MAX, TITLE_CHARACTERS_MAX,
};
use crate::quiz::{Quiz, QuizTerms};
use crate::slug::Slug;
use crate::text::{TextError, normalize_required};
use crate::time::Timestamp;

/// On which terms one may enrol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Courses that must be complete before.
    pub prerequisites: Vec<Slug>,
    /// How many may be enrolled at once.
    pub capacity: Option<u32>,
    /// From when on one may enrol.
    pub opens_at: Option<Timestamp>,
    /// Until when one may enrol, exclusive.
    pub closes_at: Option<Timestamp>,
}

/// A series of courses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pathway {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// Its courses, in order.
    pub courses: Vec<Slug>,
    /// On which terms one may enrol.
    pub terms: Terms,
}

/// A series of modules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// Its modules, in order.
    pub modules: Vec<Slug>,
    /// Those of its modules that the course is complete without.
    pub optional: BTreeSet<Slug>,
    /// On which terms one may enrol.
    pub terms: Terms,
}

/// What is learned in one sitting. A module may be part of several courses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// How long it takes, in minutes.
    pub estimated_minutes: u32,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What there is to do in it, in order.
    pub tasks: Vec<Task>,
}

/// Something to do in a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name within the module.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// Whether the module is complete only with it.
    pub required: bool,
    /// What kind of task.
    pub kind: TaskKind,
}

/// What kind of task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Questions that the server grades.
    Quiz(QuizTerms),
    /// Something to do elsewhere; the learner attests that it is done.
    Lab(LabTerms),
}

/// On which terms a lab is attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabTerms {
    /// Whether the attestation must name the address of some evidence.
    pub evidence_required: bool,
    /// Whether the attestation counts only when the stage's validator has accepted it.
    #[serde(default)]
    pub validated: bool,
}

/// A badge that the catalogue declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadgeTerms {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is for, in a sentence or two.
    pub summary: String,
    /// What it takes.
    pub rule: BadgeRule,
}

/// What a badge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadgeRule {
    /// To do a task for the first time on each of so many days in a row (UTC).
    Streak {
        /// How many.
        days: u32,
    },
    /// That an instructor gives it.
    ByHand,
}

impl TaskKind {
    /// The name in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Quiz(_) => "quiz",
            Self::Lab(_) => "lab",
        }
    }
}

impl Pathway {
    /// A pathway of these courses that everybody may enrol in.
    pub fn new(slug: Slug, title: &str, courses: Vec<Slug>) -> Self {
        let (title, summary) = (title.to_owned(), title.to_owned());
        Self { slug, title, summary, courses, terms: Terms::default() }
    }
}

impl Course {
    /// A course of these modules, none of them optional, that everybody may enrol in.
    pub fn new(slug: Slug, title: &str, modules: Vec<Slug>) -> Self {
        let (title, summary) = (title.to_owned(), title.to_owned());
        Self { slug, title, summary, modules, optional: BTreeSet::new(), terms: Terms::default() }
    }
}

impl Module {
    /// A module with these tasks.
    pub fn new(slug: Slug, title: &str, tasks: Vec<Task>) -> Self {
        let (title, summary) = (title.to_owned(), title.to_owned());
        Self { slug, title, summary, estimated_minutes: 1, tags: Vec::new(), tasks }
    }

    /// One of its tasks.
    pub fn task(&self, slug: &Slug) -> Option<&Task> {
        self.tasks.iter().find(|task| task.slug == *slug)
    }
}

/// Names one immutable version of the catalogue by what it holds: `cat_` and 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CatalogVersion(String);

/// A text that names no version of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be cat_ and 32 lower-case hexadecimal digits")]
pub struct InvalidCatalogVersion;

impl CatalogVersion {
    /// The version whose content has this SHA-256; its first half is enough to tell versions apart.
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        Self(format!("cat_{}", digits.collect::<String>()))
    }

    /// What stands for the version of what was completed elsewhere: by none of ours.
    pub fn elsewhere() -> Self {
        Self::of_digest(&[0xff; 32])
    }

    /// Whether what has this version was completed elsewhere.
    pub fn is_elsewhere(&self) -> bool {
        *self == Self::elsewhere()
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CatalogVersion {
    /// The version of a catalogue that is not published.
    fn default() -> Self {
        Self::of_digest(&[0; 32])
    }
}

impl FromStr for CatalogVersion {
    type Err = InvalidCatalogVersion;

    fn from_str(text: &str) -> Result<Self, InvalidCatalogVersion> {
        let valid = text.strip_prefix("cat_").is_some_and(|rest| {
            rest.len() == 32 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidCatalogVersion) }
    }
}

impl TryFrom<String> for CatalogVersion {
    type Error = InvalidCatalogVersion;

    fn try_from(text: String) -> Result<Self, InvalidCatalogVersion> {
        text.parse()
    }
}

impl From<CatalogVersion> for String {
    fn from(version: CatalogVersion) -> String {
        version.0
    }
}

impl fmt::Display for CatalogVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The structure of a catalogue. Every reference in it leads somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    version: CatalogVersion,
    pathways: BTreeMap<Slug, Pathway>,
    courses: BTreeMap<Slug, Course>,
    modules: BTreeMap<Slug, Module>,
    badges: BTreeMap<Slug, BadgeTerms>,
}

/// An entry of a catalogue, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryName {
    /// A pathway.
    Pathway(Slug),
    /// A course.
    Course(Slug),
    /// A module.
    Module(Slug),
    /// A quiz of a module.
    Quiz(QuizName),
    /// A badge.
    Badge(Slug),
}

impl fmt::Display for EntryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pathway(slug) => write!(formatter, "pathway {slug}"),
            Self::Course(slug) => write!(formatter, "course {slug}"),
            Self::Module(slug) => write!(formatter, "module {slug}"),
            Self::Quiz(name) => write!(formatter, "quiz {}/{}", name.module, name.quiz),
            Self::Badge(slug) => write!(formatter, "badge {slug}"),
        }
    }
}

/// A quiz, by the module it stands in and its own name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuizName {
    /// The module.
    pub module: Slug,
    /// The quiz's name, which is its task's.
    pub quiz: Slug,
}

/// Something that is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogFault {
    /// Which entry.
    pub entry: EntryName,
    /// Where in the entry, such as `modules[1]`.
    pub place: String,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for CatalogFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.entry, self.place, self.fault)
    }
}

/// What can be wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another entry of the kind has the slug.
    #[error("is defined twice")]
    Duplicate,
    /// It names something that does not exist (fault D17).
    #[error("names {0}, which does not exist")]
    Dangling(String),
    /// A list names something twice.
    #[error("names {0} twice")]
    Repeated(String),
    /// A course cannot be enrolled in before it is complete.
    #[error("requires itself, by way of {0}")]
    Cycle(Slug),
    /// A text is not as it must be.
    #[error("{0}")]
    Text(#[from] TextError),
    /// A number or a length is not as it must be.
    #[error("must be {0}")]
    Range(String),
}

/// Why entries do not make a catalogue: every fault there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CatalogError(pub Vec<CatalogFault>);

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<CatalogFault>);

impl Faults {
    pub(crate) fn add(&mut self, entry: &EntryName, place: impl Into<String>, fault: Fault) {
        self.0.push(CatalogFault { entry: entry.clone(), place: place.into(), fault });
    }

    pub(crate) fn text(&mut self, entry: &EntryName, place: &str, text: &str, max: usize) {
        if let Err(error) = normalize_required(text, max) {
            self.add(entry, place, Fault::Text(error));
        }
    }

    pub(crate) fn range(
        &mut self,
        entry: &EntryName,
        place: &str,
        value: usize,
        range: (usize, usize),
    ) {
        let (min, max) = range;
        if value < min || value > max {
            self.add(entry, place, Fault::Range(format!("{min} to {max}")));
        }
    }

    fn list<'list, T: 'list>(
        &mut self,
        entry: &EntryName,
        place: &str,
        slugs: impl IntoIterator<Item = &'list Slug>,
        known: &BTreeMap<Slug, T>,
    ) {
        let mut seen = BTreeSet::new();
        for (index, slug) in slugs.into_iter().enumerate() {
            let at = format!("{place}[{index}]");
            if !seen.insert(slug) {
                self.add(entry, at, Fault::Repeated(slug.to_string()));
            } else if !known.contains_key(slug) {
                self.add(entry, at, Fault::Dangling(slug.to_string()));
            }
        }
    }

    fn into_result(self) -> Result<(), CatalogError> {
        if self.0.is_empty() { Ok(()) } else { Err(CatalogError(self.0)) }
    }
}

impl Catalog {
    /// A catalogue of these entries; otherwise everything that is wrong with them.
    pub fn new(
        pathways: Vec<Pathway>,
        courses: Vec<Course>,
        modules: Vec<Module>,
    ) -> Result<Self, CatalogError> {
        let mut faults = Faults::default();
        let catalog = Self {
            version: CatalogVersion::default(),
            pathways: unique(pathways, |entry| &entry.slug, EntryName::Pathway, &mut faults),
            courses: unique(courses, |entry| &entry.slug, EntryName::Course, &mut faults),
            modules: unique(modules, |entry| &entry.slug, EntryName::Module, &mut faults),
            badges: BTreeMap::new(),
        };
        for pathway in catalog.pathways.values() {
            catalog.check_pathway(pathway, &mut faults);
        }
        for course in catalog.courses.values() {
            catalog.check_course(course, &mut faults);
        }
        for module in catalog.modules.values() {
            check_module(module, &mut faults);
        }
        faults.into_result()?;
        Ok(catalog)
    }

    /// The same catalogue with these badges, beside those that every module, course and pathway has.
    pub fn with_badges(mut self, badges: Vec<BadgeTerms>) -> Result<Self, CatalogError> {
        let mut faults = Faults::default();
        self.badges = unique(badges, |entry| &entry.slug, EntryName::Badge, &mut faults);
        for badge in self.badges.values() {
            let name = EntryName::Badge(badge.slug.clone());
            check_names(&name, &badge.title, &badge.summary, &mut faults);
            if let BadgeRule::Streak { days } = badge.rule
                && !(2..=STREAK_DAYS_MAX).contains(&days)
            {
                faults.add(&name, "days", Fault::Range(format!("2 to {STREAK_DAYS_MAX}")));
            }
        }
        faults.into_result()?;
        Ok(self)
    }

    /// The same catalogue, as the version it is published as.
    #[must_use]
    pub fn published_as(self, version: CatalogVersion) -> Self {
        Self { version, ..self }
    }

    /// Which version this is.
    pub fn version(&self) -> &CatalogVersion {
        &self.version
    }

    /// One pathway.
    pub fn pathway(&self, slug: &Slug) -> Option<&Pathway> {
        self.pathways.get(slug)
    }

    /// One course.
    pub fn course(&self, slug: &Slug) -> Option<&Course> {
        self.courses.get(slug)
    }

    /// One module.
    pub fn module(&self, slug: &Slug) -> Option<&Module> {
        self.modules.get(slug)
    }

    /// One of the badges that it declares.
    pub fn badge(&self, slug: &Slug) -> Option<&BadgeTerms> {
        self.badges.get(slug)
    }

    /// All badges that it declares, by slug.
    pub fn badges(&self) -> impl Iterator<Item = &BadgeTerms> {
        self.badges.values()
    }

    /// All pathways, by slug.
    pub fn pathways(&self) -> impl Iterator<Item = &Pathway> {
        self.pathways.values()
    }

    /// All courses, by slug.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.courses.values()
    }

    /// All modules, by slug.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    fn check_pathway(&self, pathway: &Pathway, faults: &mut Faults) {
        let name = EntryName::Pathway(pathway.slug.clone());
        check_names(&name, &pathway.title, &pathway.summary, faults);
        faults.range(&name, "courses", pathway.courses.len(), (1, CHILDREN_MAX));
        faults.list(&name, "courses", &pathway.courses, &self.courses);
        self.check_terms(&name, &pathway.terms, faults);
        for slug in pathway.terms.prerequisites.iter().filter(|s| pathway.courses.contains(s)) {
            faults.add(&name, "prerequisites", Fault::Cycle(slug.clone()));
        }
    }

    fn check_course(&self, course: &Course, faults: &mut Faults) {
        let name = EntryName::Course(course.slug.clone());
        check_names(&name, &course.title, &course.summary, faults);
        faults.range(&name, "modules", course.modules.len(), (1, CHILDREN_MAX));
        faults.list(&name, "modules", &course.modules, &self.modules);
        for slug in course.optional.iter().filter(|slug| !course.modules.contains(slug)) {
            let what = format!("{slug} among its modules");
            faults.add(&name, "optional", Fault::Dangling(what));
        }
        self.check_terms(&name, &course.terms, faults);
        for first in &course.terms.prerequisites {
            if self.requires(first, &course.slug) {
                faults.add(&name, "prerequisites", Fault::Cycle(first.clone()));
            }
        }
    }

    fn check_terms(&self, name: &EntryName, terms: &Terms, faults: &mut Faults) {
        faults.list(name, "prerequisites", &terms.prerequisites, &self.courses);
        if terms.capacity == Some(0) {
            faults.add(name, "capacity", Fault::Range("1 or more".to_owned()));
        }
        if let (Some(opens), Some(closes)) = (terms.opens_at, terms.closes_at)
            && closes <= opens
        {
            faults.add(name, "closes_at", Fault::Range("later than opens_at".to_owned()));
        }
    }

    /// Whether `from` is `to`, or requires it by any way of prerequisites.
    fn requires(&self, from: &Slug, to: &Slug) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(slug) = open.pop() {
            if slug == to {
                return true;
            }
            if seen.insert(slug)
                && let Some(course) = self.courses.get(slug)
            {
                open.extend(&course.terms.prerequisites);
            }
        }
        false
    }
}

fn unique<T>(
    entries: Vec<T>,
    slug: impl Fn(&T) -> &Slug,
    name: impl Fn(Slug) -> EntryName,
    faults: &mut Faults,
) -> BTreeMap<Slug, T> {
    let mut by_slug = BTreeMap::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let key = slug(&entry).clone();
        if index == CATALOG_ENTRIES_MAX {
            let most = Fault::Range(format!("among the first {CATALOG_ENTRIES_MAX} of its kind"));
            faults.add(&name(key.clone()), "slug", most);
        }
        if by_slug.insert(key.clone(), entry).is_some() {
            faults.add(&name(key), "slug", Fault::Duplicate);
        }
    }
    by_slug
}

fn check_names(name: &EntryName, title: &str, summary: &str, faults: &mut Faults) {
    faults.text(name, "title", title, TITLE_CHARACTERS_MAX);
    faults.text(name, "summary", summary, SUMMARY_CHARACTERS_MAX);
}

fn check_module(module: &Module, faults: &mut Faults) {
    let name = EntryName::Module(module.slug.clone());
    check_names(&name, &module.title, &module.summary, faults);
    let minutes = usize::try_from(module.estimated_minutes).unwrap_or(usize::MAX);
    faults.range(&name, "estimated_minutes", minutes, (1, ESTIMATED_MINUTES_MAX));
    faults.range(&name, "tags", module.tags.len(), (0, TAGS_MAX));
    for (index, tag) in module.tags.iter().enumerate() {
        faults.text(&name, &format!("tags[{index}]"), tag, TAG_CHARACTERS_MAX);
    }
    faults.range(&name, "tasks", module.tasks.len(), (0, TASKS_MAX));
    let mut seen = BTreeSet::new();
    for (index, task) in module.tasks.iter().enumerate() {
        let place = format!("tasks[{index}]");
        faults.text(&name, &format!("{place}.title"), &task.title, TITLE_CHARACTERS_MAX);
        if !seen.insert(&task.slug) {
            faults.add(&name, place, Fault::Repeated(task.slug.to_string()));
        }
    }
}

/// Everything that is published together: the structure, what the modules say, and the quizzes with
/// their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    /// The structure.
    pub catalog: Catalog,
    /// What each module says, in Markdown.
    pub texts: BTreeMap<Slug, String>,
    /// The quizzes.
    pub quizzes: BTreeMap<QuizName, Quiz>,
}

/// How an entry differs between two editions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The newer one alone has it.
    Added,
    /// The older one alone has it.
    Removed,
    /// Both have it, not alike.
    Changed,
}

impl Edition {
    /// An edition, if every quiz is as it must be, every quiz task has its quiz, and the other way
    /// round.
    pub fn new(
        catalog: Catalog,
        texts: BTreeMap<Slug, String>,
        quizzes: BTreeMap<QuizName, Quiz>,
    ) -> Result<Self, CatalogError> {
        let mut faults = Faults::default();
        for (name, quiz) in &quizzes {
            quiz.check(&EntryName::Quiz(name.clone()), &mut faults);
            let task = catalog.module(&name.module).and_then(|module| module.task(&name.quiz));
            if !matches!(task.map(|task| &task.kind), Some(TaskKind::Quiz(_))) {
                let what = format!("a quiz task {} of module {}", name.quiz, name.module);
                faults.add(&EntryName::Quiz(name.clone()), "quiz_id", Fault::Dangling(what));
            }
        }
        for module in catalog.modules() {
            let entry = EntryName::Module(module.slug.clone());
            if !texts.contains_key(&module.slug) {
                faults.add(&entry, "text", Fault::Text(TextError::Empty));
            }
            for (index, task) in module.tasks.iter().enumerate() {
                let name = QuizName { module: module.slug.clone(), quiz: task.slug.clone() };
                if matches!(task.kind, TaskKind::Quiz(_)) && !quizzes.contains_key(&name) {
                    let what = Fault::Dangling(format!("the quiz {}", task.slug));
                    faults.add(&entry, format!("tasks[{index}]"), what);
                }
            }
        }
        faults.into_result()?;
        Ok(Self { catalog, texts, quizzes })
    }

    /// What differs in this edition from an `older` one, by entry.
    pub fn differences(&self, older: &Self) -> Vec<(EntryName, Difference)> {
        let mut differences = Vec::new();
        let modules = |edition: &Self| -> BTreeMap<Slug, (Module, Option<String>)> {
            let text = |module: &Module| edition.texts.get(&module.slug).cloned();
            let of = |module: &Module| (module.slug.clone(), (module.clone(), text(module)));
            edition.catalog.modules().map(of).collect()
        };
        let (new, old) = (&self.catalog, &older.catalog);
        compare(&old.pathways, &new.pathways, EntryName::Pathway, &mut differences);
        compare(&old.courses, &new.courses, EntryName::Course, &mut differences);
        compare(&modules(older), &modules(self), EntryName::Module, &mut differences);
        compare(&older.quizzes, &self.quizzes, EntryName::Quiz, &mut differences);
        compare(&old.badges, &new.badges, EntryName::Badge, &mut differences);
        differences
    }
}

fn compare<K: Ord + Clone, T: PartialEq>(
    old: &BTreeMap<K, T>,
    new: &BTreeMap<K, T>,
    name: impl Fn(K) -> EntryName,
    differences: &mut Vec<(EntryName, Difference)>,
) {
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let difference = match (old.get(key), new.get(key)) {
            (None, _) => Difference::Added,
            (_, None) => Difference::Removed,
            (Some(before), Some(after)) if before != after => Difference::Changed,
            (Some(_), Some(_)) => continue,
        };
        differences.push((name(key.clone()), difference));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn slugs(names: &[&str]) -> Vec<Slug> {
        names.iter().map(|name| slug(name)).collect()
    }

    fn course(name: &str, modules: &[&str], prerequisites: &[&str]) -> Course {
        let terms = Terms { prerequisites: slugs(prerequisites), ..Terms::default() };
        Course { terms, ..Course::new(slug(name), name, slugs(modules)) }
    }

    fn module(name: &str) -> Module {
        Module::new(slug(name), name, Vec::new())
    }

    #[track_caller]
    fn check(pathways: Vec<Pathway>, courses: Vec<Course>, modules: Vec<Module>, faults: &[&str]) {
        let error = Catalog::new(pathways, courses, modules).unwrap_err();
        let found: Vec<String> = error.0.iter().map(ToString::to_string).collect();
        assert_eq!(found, faults);
    }

    #[test]
    fn d_17_every_fault_of_a_catalogue_is_named_with_its_place() {
        let path = Pathway::new(slug("path"), "path", slugs(&["one", "nowhere"]));
        let one = course("one", &["a", "missing", "a"], &[]);
        check(
            vec![path],
            vec![one.clone(), one],
            vec![module("a")],
            &[
                "course one: slug: is defined twice",
                "pathway path: courses[1]: names nowhere, which does not exist",
                "course one: modules[1]: names missing, which does not exist",
                "course one: modules[2]: names a twice",
            ],
        );
        let task = Task {
            slug: slug("t"),
            title: String::new(),
            required: true,
            kind: TaskKind::Lab(LabTerms { evidence_required: false, validated: false }),
        };
        let twice = Module::new(slug("a"), "a", vec![task.clone(), task]);
        let quick = Module { estimated_minutes: 0, ..module("b") };
        check(
            Vec::new(),
            Vec::new(),
            vec![twice, quick],
            &[
                "module a: tasks[0].title: must not be empty",
                "module a: tasks[1].title: must not be empty",
                "module a: tasks[1]: names t twice",
                "module b: estimated_minutes: must be 1 to 1440",
            ],
        );
        let mut odd = course("one", &["a"], &[]);
        odd.optional.insert(slug("b"));
        odd.terms.capacity = Some(0);
        odd.terms.opens_at = Some(Timestamp::UNIX_EPOCH);
        odd.terms.closes_at = Some(Timestamp::UNIX_EPOCH);
        check(
            Vec::new(),
            vec![odd],
            vec![module("a")],
            &[
                "course one: optional: names b among its modules, which does not exist",
                "course one: capacity: must be 1 or more",
                "course one: closes_at: must be later than opens_at",
            ],
        );
    }

    #[test]
    fn nothing_can_require_itself() {
        let courses = vec![
            course("one", &["a"], &["three"]),
            course("two", &["a"], &["one"]),
            course("three", &["a"], &["two"]),
            course("four", &["a"], &["one"]),
            course("self", &["a"], &["self"]),
        ];
        let mut path = Pathway::new(slug("path"), "path", slugs(&["four"]));
        path.terms.prerequisites = slugs(&["four"]);
        check(
            vec![path],
            courses,
            vec![module("a")],
            &[
                "pathway path: prerequisites: requires itself, by way of four",
                "course one: prerequisites: requires itself, by way of three",
                "course self: prerequisites: requires itself, by way of self",
                "course three: prerequisites: requires itself, by way of two",
                "course two: prerequisites: requires itself, by way of one",
            ],
        );
    }

    #[test]
    fn a_difference_is_found_in_structure_and_text() {
        let edition = |modules: Vec<Module>, texts: &[(&str, &str)]| Edition {
            catalog: Catalog::new(Vec::new(), Vec::new(), modules).unwrap(),
            texts: texts.iter().map(|(name, text)| (slug(name), (*text).to_owned())).collect(),
            quizzes: BTreeMap::new(),
        };
        let old = edition(["a", "b", "c"].map(module).to_vec(), &[("a", "x"), ("b", "x")]);
        let longer = Module { estimated_minutes: 2, ..module("c") };
        let new = edition(vec![module("b"), longer, module("d")], &[("b", "y")]);
        let entry = |name: &str| EntryName::Module(slug(name));
        assert_eq!(
            new.differences(&old),
            [
                (entry("a"), Difference::Removed),
                (entry("b"), Difference::Changed),
                (entry("c"), Difference::Changed),
                (entry("d"), Difference::Added),
            ]
        );
        assert_eq!(new.differences(&new), []);
    }

    #[test]
    fn a_version_is_named_by_its_digest() {
        let version = CatalogVersion::of_digest(&[0xab; 32]);
        assert_eq!(version.as_str(), "cat_abababababababababababababababab");
        assert_eq!(version.as_str().parse(), Ok(version.clone()));
        for text in ["", "cat_", "cat_ABABABABABABABABABABABABABABABAB", "abab"] {
            assert_eq!(text.parse::<CatalogVersion>(), Err(InvalidCatalogVersion), "{text}");
        }
    }
}
