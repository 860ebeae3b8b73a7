//! From files to an edition: which file is which entry, and how its fields read.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_domain::catalog::{
    BadgeRule, BadgeTerms, Catalog, CatalogFault, Course, Edition, EntryName, LabTerms, Module,
    Pathway, QuizName, Task, TaskKind, Terms,
};
use rollcall_domain::limits::MODULE_TEXT_CHARACTERS_MAX;
use rollcall_domain::quiz::{Question, QuestionOption, Quiz, QuizTerms};
use rollcall_domain::slug::Slug;
use rollcall_domain::text::{normalize_lines, normalize_required};
use rollcall_domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::FileFault;
use crate::folder::File;
use crate::front_matter;

/// The score from which on a quiz is passed that says nothing about it, in percent.
const PASSING_SCORE_DEFAULT: u32 = 75;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PathwayMatter {
    title: String,
    courses: Vec<Slug>,
    #[serde(default)]
    enrollment: TermsMatter,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseMatter {
    title: String,
    modules: Vec<Slug>,
    #[serde(default)]
    optional: BTreeSet<Slug>,
    #[serde(default)]
    enrollment: TermsMatter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsMatter {
    #[serde(default)]
    prerequisites: Vec<Slug>,
    capacity: Option<u32>,
    #[serde(default, deserialize_with = "instant")]
    opens_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "instant")]
    closes_at: Option<Timestamp>,
}

/// A badge is earned by one of these.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BadgeMatter {
    title: String,
    streak_days: Option<u32>,
    #[serde(default)]
    by_hand: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleMatter {
    title: String,
    summary: String,
    estimated_minutes: u32,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    tasks: Vec<TaskMatter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskMatter {
    slug: Slug,
    kind: KindMatter,
    title: String,
    /// The one meaning of a task that says nothing about it (fault D12: there were two).
    #[serde(default = "yes")]
    required: bool,
    #[serde(default)]
    evidence_required: bool,
    #[serde(default)]
    validated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindMatter {
    Quiz,
    Lab,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuizFile {
    quiz_id: Slug,
    module_slug: Slug,
    #[serde(default = "passing_score")]
    passing_score: u32,
    attempts_max: Option<u32>,
    #[serde(default)]
    cool_down_minutes: u32,
    questions: Vec<QuestionFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionFile {
    id: Slug,
    #[serde(default, rename = "type")]
    _type: QuestionType,
    stem: String,
    options: Vec<OptionFile>,
    correct_answer: Slug,
    #[serde(default = "one")]
    points: u32,
    explanation: Option<String>,
}

/// The kinds of question that can be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum QuestionType {
    #[default]
    SingleChoice,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionFile {
    id: Slug,
    text: String,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn passing_score() -> u32 {
    PASSING_SCORE_DEFAULT
}

/// A time as TOML has it, with its offset (RFC 3339).
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let time = toml::value::Datetime::deserialize(deserializer)?;
    let parsed = time.to_string().parse();
    parsed.map(Some).map_err(|_error| {
        serde::de::Error::custom("must be a time with its offset, such as 2027-01-31T09:00:00Z")
    })
}

/// What the files say so far, and what is wrong with them.
#[derive(Default)]
struct Draft {
    pathways: Vec<Pathway>,
    courses: Vec<Course>,
    modules: Vec<(Module, ModuleMatter)>,
    badges: Vec<BadgeTerms>,
    texts: BTreeMap<Slug, String>,
    quizzes: BTreeMap<QuizName, Quiz>,
    /// Which file an entry stands in.
    files: BTreeMap<EntryName, String>,
    faults: Vec<FileFault>,
}

/// The edition that the files make; otherwise everything that is wrong with them.
pub fn parse(files: &[File]) -> Result<Edition, Vec<FileFault>> {
    let mut draft = Draft::default();
    for file in files {
        if let Err(fault) = draft.add(file) {
            draft.faults.push(fault);
        }
    }
    draft.finish()
}

impl Draft {
    fn add(&mut self, file: &File) -> Result<(), FileFault> {
        let parts: Vec<&str> = file.path.split('/').collect();
        match parts.as_slice() {
            ["pathways", name] => self.add_pathway(file, entry_slug(file, name, ".md")?),
            ["courses", name] => self.add_course(file, entry_slug(file, name, ".md")?),
            ["badges", name] => self.add_badge(file, entry_slug(file, name, ".md")?),
            ["modules", folder, "module.md"] => {
                self.add_module(file, entry_slug(file, folder, "")?)
            }
            ["modules", folder, "quizzes", name] => {
                let module = entry_slug(file, folder, "")?;
                self.add_quiz(file, QuizName { module, quiz: entry_slug(file, name, ".json")? })
            }
            _ => Err(FileFault::new(
                &file.path,
                "",
                &"is no part of a catalogue: those are pathways/*.md, courses/*.md, badges/*.md, \
                 modules/*/module.md and modules/*/quizzes/*.json",
            )),
        }
    }

    fn add_pathway(&mut self, file: &File, slug: Slug) -> Result<(), FileFault> {
        let (matter, body): (PathwayMatter, String) = front_matter::split(file)?;
        self.files.insert(EntryName::Pathway(slug.clone()), file.path.clone());
        let PathwayMatter { title, courses, enrollment } = matter;
        let summary = summary(&body);
        let terms = enrollment.into();
        self.pathways.push(Pathway { slug, title, summary, courses, terms });
        Ok(())
    }

    fn add_course(&mut self, file: &File, slug: Slug) -> Result<(), FileFault> {
        let (matter, body): (CourseMatter, String) = front_matter::split(file)?;
        self.files.insert(EntryName::Course(slug.clone()), file.path.clone());
        let CourseMatter { title, modules, optional, enrollment } = matter;
        let summary = summary(&body);
        let terms = enrollment.into();
        self.courses.push(Course { slug, title, summary, modules, optional, terms });
        Ok(())
    }

    fn add_badge(&mut self, file: &File, slug: Slug) -> Result<(), FileFault> {
        let (matter, body): (BadgeMatter, String) = front_matter::split(file)?;
        self.files.insert(EntryName::Badge(slug.clone()), file.path.clone());
        let rule = match (matter.streak_days, matter.by_hand) {
            (Some(days), false) => BadgeRule::Streak { days },
            (None, true) => BadgeRule::ByHand,
            (Some(_), true) | (None, false) => {
                let text = "must say either streak_days or by_hand = true";
                return Err(FileFault::new(&file.path, "", &text));
            }
        };
        let summary = summary(&body);
        self.badges.push(BadgeTerms { slug, title: matter.title, summary, rule });
        Ok(())
    }

    fn add_module(&mut self, file: &File, slug: Slug) -> Result<(), FileFault> {
        let (mut matter, body): (ModuleMatter, String) = front_matter::split(file)?;
        self.files.insert(EntryName::Module(slug.clone()), file.path.clone());
        match normalize_lines(&body, MODULE_TEXT_CHARACTERS_MAX) {
            Ok(text) => {
                self.texts.insert(slug.clone(), text);
            }
            Err(error) => self.faults.push(FileFault::new(&file.path, "text", &error)),
        }
        for (index, task) in matter.tasks.iter().enumerate() {
            if task.kind == KindMatter::Quiz && task.evidence_required {
                let place = format!("tasks[{index}].evidence_required");
                self.faults.push(FileFault::new(&file.path, place, &"is for labs alone"));
            }
            if task.kind == KindMatter::Quiz && task.validated {
                let place = format!("tasks[{index}].validated");
                self.faults.push(FileFault::new(&file.path, place, &"is for labs alone"));
            }
        }
        let module = Module {
            slug,
            title: std::mem::take(&mut matter.title),
            summary: std::mem::take(&mut matter.summary),
            estimated_minutes: matter.estimated_minutes,
            tags: std::mem::take(&mut matter.tags),
            tasks: Vec::new(),
        };
        self.modules.push((module, matter));
        Ok(())
    }

    fn add_quiz(&mut self, file: &File, name: QuizName) -> Result<(), FileFault> {
        let quiz: QuizFile = json(file)?;
        for (place, told, expected) in [
            ("quiz_id", &quiz.quiz_id, &name.quiz),
            ("module_slug", &quiz.module_slug, &name.module),
        ] {
            if told != expected {
                let text = format!("must be {expected}, as the file stands");
                self.faults.push(FileFault::new(&file.path, place, &text));
            }
        }
        let cool_down_seconds = quiz.cool_down_minutes.saturating_mul(60);
        let terms = QuizTerms {
            questions: u32::try_from(quiz.questions.len()).unwrap_or(u32::MAX),
            passing_score: quiz.passing_score,
            attempts_max: quiz.attempts_max,
            cool_down_seconds,
        };
        let questions = quiz.questions.into_iter().map(Question::from).collect();
        self.files.insert(EntryName::Quiz(name.clone()), file.path.clone());
        self.quizzes.insert(name, Quiz { terms, questions });
        Ok(())
    }

    fn finish(mut self) -> Result<Edition, Vec<FileFault>> {
        let mut modules = Vec::new();
        for (mut module, matter) in std::mem::take(&mut self.modules) {
            for task in matter.tasks {
                let kind = self.kind(&module.slug, &task);
                let TaskMatter { slug, title, required, .. } = task;
                module.tasks.push(Task { slug, title, required, kind });
            }
            modules.push(module);
        }
        let (pathways, courses) =
            (std::mem::take(&mut self.pathways), std::mem::take(&mut self.courses));
        let badges = std::mem::take(&mut self.badges);
        let catalog = Catalog::new(pathways, courses, modules);
        let catalog = catalog.and_then(|catalog| catalog.with_badges(badges));
        let catalog = catalog.unwrap_or_else(|error| {
            self.tell(error.0);
            Catalog::default()
        });
        // Without a catalogue every quiz would seem to have no task.
        if self.faults.is_empty() {
            let (texts, quizzes) =
                (std::mem::take(&mut self.texts), std::mem::take(&mut self.quizzes));
            match Edition::new(catalog, texts, quizzes) {
                Ok(edition) => return Ok(edition),
                Err(error) => self.tell(error.0),
            }
        }
        self.faults.sort();
        Err(self.faults)
    }

    /// A task's kind, with the terms of its quiz; those of a missing quiz are told as a fault later.
    fn kind(&self, module: &Slug, task: &TaskMatter) -> TaskKind {
        match task.kind {
            KindMatter::Lab => TaskKind::Lab(LabTerms {
                evidence_required: task.evidence_required,
                validated: task.validated,
            }),
            KindMatter::Quiz => {
                let name = QuizName { module: module.clone(), quiz: task.slug.clone() };
                let terms = self.quizzes.get(&name).map(|quiz| quiz.terms.clone());
                TaskKind::Quiz(terms.unwrap_or(QuizTerms {
                    questions: 0,
                    passing_score: PASSING_SCORE_DEFAULT,
                    attempts_max: None,
                    cool_down_seconds: 0,
                }))
            }
        }
    }

    fn tell(&mut self, faults: Vec<CatalogFault>) {
        for CatalogFault { entry, place, fault } in faults {
            let file = self.files.get(&entry).cloned().unwrap_or_else(|| entry.to_string());
            self.faults.push(FileFault::new(&file, place, &fault));
        }
    }
}

/// A text of one paragraph: its lines are one line.
fn summary(body: &str) -> String {
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn entry_slug(file: &File, name: &str, ending: &str) -> Result<Slug, FileFault> {
    let stem = name.strip_suffix(ending).unwrap_or_default();
    stem.parse().map_err(|error| {
        FileFault::new(&file.path, "", &format!("its name, without {ending:?}, {error}"))
    })
}

fn json<T: DeserializeOwned>(file: &File) -> Result<T, FileFault> {
    let mut deserializer = serde_json::Deserializer::from_str(&file.text);
    let value = serde_path_to_error::deserialize(&mut deserializer);
    let value = value.map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let line = format!("line {}", error.line());
        let place = if error.is_data() && path != "." { format!("{line}, {path}") } else { line };
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        FileFault::new(&file.path, place, &text)
    })?;
    deserializer
        .end()
        .map_err(|_error| FileFault::new(&file.path, "", &"goes on after its JSON value"))?;
    Ok(value)
}

impl From<TermsMatter> for Terms {
    fn from(matter: TermsMatter) -> Self {
        let TermsMatter { prerequisites, capacity, opens_at, closes_at } = matter;
        Self { prerequisites, capacity, opens_at, closes_at }
    }
}

impl From<QuestionFile> for Question {
    fn from(file: QuestionFile) -> Self {
        let tidy = |text: String| normalize_required(&text, usize::MAX).unwrap_or(text);
        let option = |option: OptionFile| QuestionOption { id: option.id, text: tidy(option.text) };
        Self {
            id: file.id,
            stem: tidy(file.stem),
            options: file.options.into_iter().map(option).collect(),
            correct_answer: file.correct_answer,
            points: file.points,
            explanation: file.explanation.map(tidy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHWAY: &str = "+++\ntitle = \"Path\"\ncourses = [\"one\"]\n+++\nA way\nthrough.\n";
    const COURSE: &str = "+++\ntitle = \"One\"\nmodules = [\"a\"]\n\n[enrollment]\ncapacity = 5\nopens_at = 2027-01-31T10:00:00+01:00\n+++\nAbout one.\n";
    const MODULE: &str = "+++\ntitle = \"A\"\nsummary = \"About a.\"\nestimated_minutes = 5\n\n[[tasks]]\nslug = \"check\"\nkind = \"quiz\"\ntitle = \"Check\"\n\n[[tasks]]\nslug = \"do\"\nkind = \"lab\"\ntitle = \"Do\"\nrequired = false\n+++\n# A\n";
    const BADGE: &str = "+++\ntitle = \"A week\"\nstreak_days = 7\n+++\nA week of it.\n";
    const QUIZ: &str = r#"{"quiz_id":"check","module_slug":"a","questions":[{"id":"q1","type":"single_choice","stem":" Why? ","options":[{"id":"a","text":"So"},{"id":"b","text":"No"}],"correct_answer":"a"}]}"#;

    fn files(changes: &[(&str, &str)]) -> Vec<File> {
        let mut files = BTreeMap::from([
            ("pathways/path.md", PATHWAY),
            ("courses/one.md", COURSE),
            ("badges/week.md", BADGE),
            ("modules/a/module.md", MODULE),
            ("modules/a/quizzes/check.json", QUIZ),
        ]);
        files.extend(changes.iter().copied());
        let file =
            |(path, text): (&str, &str)| File { path: path.to_owned(), text: text.to_owned() };
        files.into_iter().map(file).collect()
    }

    #[test]
    fn files_become_an_edition() {
        let edition = parse(&files(&[])).unwrap();
        let slug = |text: &str| -> Slug { text.parse().unwrap() };
        let pathway = edition.catalog.pathway(&slug("path")).unwrap();
        assert_eq!(pathway.summary, "A way through.");
        let terms = &edition.catalog.course(&slug("one")).unwrap().terms;
        assert_eq!(terms.opens_at.unwrap().to_string(), "2027-01-31T09:00:00Z");
        assert_eq!(terms.capacity, Some(5));
        let module = edition.catalog.module(&slug("a")).unwrap();
        let required: Vec<bool> = module.tasks.iter().map(|task| task.required).collect();
        assert_eq!(required, [true, false]);
        let name = QuizName { module: slug("a"), quiz: slug("check") };
        let quiz = &edition.quizzes[&name];
        assert_eq!(module.tasks[0].kind, TaskKind::Quiz(quiz.terms.clone()));
        assert_eq!((quiz.terms.passing_score, quiz.questions[0].stem.as_str()), (75, "Why?"));
        assert_eq!(edition.texts[&slug("a")], "# A");
        let badge = edition.catalog.badge(&slug("week")).unwrap();
        assert_eq!(
            (badge.rule, badge.summary.as_str()),
            (BadgeRule::Streak { days: 7 }, "A week of it.")
        );
    }

    #[test]
    fn d_12_a_task_that_says_nothing_about_it_is_required() {
        for (said, required) in
            [("", true), ("required = true\n", true), ("required = false\n", false)]
        {
            let module = MODULE.replace("required = false\n", said);
            let edition = parse(&files(&[("modules/a/module.md", &module)])).unwrap();
            let module = edition.catalog.module(&"a".parse().unwrap()).unwrap().clone();
            assert_eq!(module.tasks[1].required, required, "{said:?}");
            // The one meaning, for who completes and for who counts.
            assert_eq!(module.required_tasks().count(), 1 + usize::from(required));
        }
    }

    #[track_caller]
    fn check(changes: &[(&str, &str)], faults: &[&str]) {
        let found = parse(&files(changes)).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, faults);
    }

    #[test]
    fn d_17_every_fault_is_told_with_its_file_and_place() {
        check(
            &[
                ("pathways/path.md", &PATHWAY.replace("\"one\"", "\"one\", \"nowhere\"")),
                ("courses/one.md", &COURSE.replace("[\"a\"]", "[\"a\", \"missing\"]")),
                ("modules/a/quizzes/check.json", &QUIZ.replace("\"check\"", "\"other\"")),
                ("modules/notes.txt", ""),
                ("courses/Two.md", COURSE),
            ],
            &[
                "courses/Two.md: its name, without \".md\", must be 1 to 80 lower-case letters, digits and single dashes",
                "courses/one.md: modules[1]: names missing, which does not exist",
                "modules/a/quizzes/check.json: quiz_id: must be check, as the file stands",
                "modules/notes.txt: is no part of a catalogue: those are pathways/*.md, courses/*.md, badges/*.md, modules/*/module.md and modules/*/quizzes/*.json",
                "pathways/path.md: courses[1]: names nowhere, which does not exist",
            ],
        );
        check(
            &[
                ("badges/none.md", "+++\ntitle = \"None\"\n+++\nFor what?\n"),
                ("badges/week.md", &BADGE.replace('7', "1")),
            ],
            &[
                "badges/none.md: must say either streak_days or by_hand = true",
                "badges/week.md: days: must be 2 to 366",
            ],
        );
        check(
            &[(
                "modules/a/quizzes/check.json",
                &QUIZ.replace("\"correct_answer\":\"a\"", "\"correct_answer\":\"c\""),
            )],
            &[
                "modules/a/quizzes/check.json: questions[0].correct_answer: names the option c, which does not exist",
            ],
        );
        check(
            &[("modules/a/module.md", &MODULE.replace("\"check\"", "\"exam\""))],
            &[
                "modules/a/module.md: tasks[0]: names the quiz exam, which does not exist",
                "modules/a/quizzes/check.json: quiz_id: names a quiz task check of module a, which does not exist",
            ],
        );
        check(
            &[("modules/a/module.md", &MODULE.replace("required = false", "requird = false"))],
            &[
                "courses/one.md: modules[0]: names a, which does not exist",
                "modules/a/module.md: line 15: unknown field `requird`, expected one of `slug`, `kind`, `title`, `required`, `evidence_required`, `validated`",
            ],
        );
        check(
            &[("modules/a/quizzes/check.json", &QUIZ.replace("\"stem\"", "\"question\""))],
            &[
                "modules/a/quizzes/check.json: line 1, questions[0].question: unknown field `question`, expected one of `id`, `type`, `stem`, `options`, `correct_answer`, `points`, `explanation`",
            ],
        );
    }
}
