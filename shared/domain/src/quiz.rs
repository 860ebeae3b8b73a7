//! Quizzes: questions with options, one of which is the key, and how answers are graded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalog::{EntryName, Fault, Faults};
use crate::limits::{
    COOL_DOWN_SECONDS_MAX, EXPLANATION_CHARACTERS_MAX, OPTION_CHARACTERS_MAX, OPTIONS_MAX,
    POINTS_MAX, QUESTIONS_MAX, QUIZ_ATTEMPTS_MAX, QUIZ_BYTES_MAX, STEM_CHARACTERS_MAX,
};
use crate::slug::Slug;

/// On which terms a quiz is taken. They stand in the structure of the catalogue, without the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuizTerms {
    /// How many questions there are.
    pub questions: u32,
    /// The score from which on the quiz is passed, in percent.
    pub passing_score: u32,
    /// How often it may be taken.
    pub attempts_max: Option<u32>,
    /// How long one waits after an attempt that failed, in seconds.
    pub cool_down_seconds: u32,
}

/// A quiz, with its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiz {
    /// On which terms it is taken.
    pub terms: QuizTerms,
    /// Its questions.
    pub questions: Vec<Question>,
}

/// A question with one right answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its name within the quiz.
    pub id: Slug,
    /// What is asked.
    pub stem: String,
    /// What may be answered.
    pub options: Vec<QuestionOption>,
    /// The id of the right option.
    pub correct_answer: Slug,
    /// What it counts.
    pub points: u32,
    /// Why the right option is right, for who found it.
    pub explanation: Option<String>,
}

/// What may be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionOption {
    /// Its name within the question.
    pub id: Slug,
    /// What it says.
    pub text: String,
}

/// What answers are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grade {
    /// The points of the right answers, in percent of all points, rounded half up.
    pub score: u32,
    /// Whether that is enough.
    pub passed: bool,
}

impl Quiz {
    /// What `answers`, option by question, are worth. What is not answered is wrong, and answers to
    /// questions that the quiz does not have count nothing.
    pub fn grade(&self, answers: &BTreeMap<Slug, Slug>) -> Grade {
        let total: u32 = self.questions.iter().map(|question| question.points).sum();
        let right = self.questions.iter().filter(|question| question.is_right(answers));
        let earned: u32 = right.map(|question| question.points).sum();
        let score = (200 * earned + total).checked_div(2 * total).unwrap_or(0);
        Grade { score, passed: score >= self.terms.passing_score }
    }

    /// One of its questions.
    pub fn question(&self, id: &Slug) -> Option<&Question> {
        self.questions.iter().find(|question| question.id == *id)
    }

    /// Adds to `faults` what is wrong with the quiz.
    pub(crate) fn check(&self, entry: &EntryName, faults: &mut Faults) {
        let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        let QuizTerms { questions, passing_score, attempts_max, cool_down_seconds } = self.terms;
        faults.range(entry, "questions", self.questions.len(), (1, QUESTIONS_MAX));
        if number(questions) != self.questions.len() {
            faults.add(entry, "questions", Fault::Range("counted right".to_owned()));
        }
        faults.range(entry, "passing_score", number(passing_score), (1, 100));
        let attempts = attempts_max.map_or(1, number);
        faults.range(entry, "attempts_max", attempts, (1, QUIZ_ATTEMPTS_MAX));
        faults.range(entry, "cool_down", number(cool_down_seconds), (0, COOL_DOWN_SECONDS_MAX));
        let mut seen = BTreeSet::new();
        let mut bytes = 0;
        for (index, question) in self.questions.iter().enumerate() {
            let place = format!("questions[{index}]");
            if !seen.insert(&question.id) {
                faults.add(entry, place.clone(), Fault::Repeated(question.id.to_string()));
            }
            question.check(entry, &place, faults);
            bytes += question.bytes();
        }
        if bytes > QUIZ_BYTES_MAX {
            let most = Fault::Range(format!("at most {QUIZ_BYTES_MAX} bytes of text in all"));
            faults.add(entry, "questions", most);
        }
    }
}

impl Question {
    /// Whether `answers` hold the right option.
    pub fn is_right(&self, answers: &BTreeMap<Slug, Slug>) -> bool {
        answers.get(&self.id) == Some(&self.correct_answer)
    }

    /// One of its options.
    pub fn option(&self, id: &Slug) -> Option<&QuestionOption> {
        self.options.iter().find(|option| option.id == *id)
    }

    fn bytes(&self) -> usize {
        let options: usize = self.options.iter().map(|option| option.text.len()).sum();
        self.stem.len() + options + self.explanation.as_deref().map_or(0, str::len)
    }

    fn check(&self, entry: &EntryName, place: &str, faults: &mut Faults) {
        faults.text(entry, &format!("{place}.stem"), &self.stem, STEM_CHARACTERS_MAX);
        faults.range(entry, &format!("{place}.options"), self.options.len(), (2, OPTIONS_MAX));
        let points = usize::try_from(self.points).unwrap_or(usize::MAX);
        faults.range(entry, &format!("{place}.points"), points, (1, POINTS_MAX));
        if let Some(explanation) = &self.explanation {
            let at = format!("{place}.explanation");
            faults.text(entry, &at, explanation, EXPLANATION_CHARACTERS_MAX);
        }
        let mut seen = BTreeSet::new();
        for (index, option) in self.options.iter().enumerate() {
            let at = format!("{place}.options[{index}]");
            faults.text(entry, &format!("{at}.text"), &option.text, OPTION_CHARACTERS_MAX);
            if !seen.insert(&option.id) {
                faults.add(entry, at, Fault::Repeated(option.id.to_string()));
            }
        }
        if !seen.contains(&self.correct_answer) {
            let what = Fault::Dangling(format!("the option {}", self.correct_answer));
            faults.add(entry, format!("{place}.correct_answer"), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::QuizName;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn question(id: &str, points: u32) -> Question {
        let option = |id: &str| QuestionOption { id: slug(id), text: id.to_owned() };
        Question {
            id: slug(id),
            stem: "Why?".to_owned(),
            options: vec![option("a"), option("b")],
            correct_answer: slug("b"),
            points,
            explanation: None,
        }
    }

    fn quiz(questions: Vec<Question>, passing_score: u32) -> Quiz {
        let count = u32::try_from(questions.len()).unwrap();
        let terms =
            QuizTerms { questions: count, passing_score, attempts_max: None, cool_down_seconds: 0 };
        Quiz { terms, questions }
    }

    #[test]
    fn answers_are_graded_by_points_rounded_half_up() {
        let thirds = vec![question("one", 1), question("two", 1), question("three", 1)];
        let eighths = vec![question("one", 1), question("two", 7)];
        for (questions, answers, score) in [
            (&thirds, vec![], 0),
            (&thirds, vec![("one", "b")], 33),
            (&thirds, vec![("one", "b"), ("two", "b")], 67),
            (&thirds, vec![("one", "b"), ("two", "b"), ("three", "b")], 100),
            (&thirds, vec![("one", "a"), ("two", "c"), ("four", "b")], 0),
            (&eighths, vec![("one", "b")], 13),
            (&eighths, vec![("two", "b")], 88),
        ] {
            let quiz = quiz(questions.clone(), 67);
            let answers = answers.iter().map(|(q, o)| (slug(q), slug(o))).collect();
            let passed = score >= 67;
            assert_eq!(quiz.grade(&answers), Grade { score, passed }, "{answers:?}");
        }
        assert_eq!(quiz(Vec::new(), 1).grade(&BTreeMap::new()).score, 0);
    }

    #[test]
    fn a_8_empty_answers_never_pass() {
        let quiz = quiz(vec![question("one", 1)], 1);
        assert!(!quiz.grade(&BTreeMap::new()).passed);
    }

    #[test]
    fn every_fault_of_a_quiz_is_named_with_its_place() {
        let mut bad = question("one", 0);
        bad.correct_answer = slug("c");
        bad.stem = String::new();
        bad.options.push(bad.options[0].clone());
        let mut quiz = quiz(vec![question("one", 1), bad], 101);
        quiz.terms.attempts_max = Some(0);
        let name = EntryName::Quiz(QuizName { module: slug("m"), quiz: slug("q") });
        let mut faults = Faults::default();
        quiz.check(&name, &mut faults);
        let found: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "quiz m/q: passing_score: must be 1 to 100",
                "quiz m/q: attempts_max: must be 1 to 100",
                "quiz m/q: questions[1]: names one twice",
                "quiz m/q: questions[1].stem: must not be empty",
                "quiz m/q: questions[1].points: must be 1 to 100",
                "quiz m/q: questions[1].options[2]: names a twice",
                "quiz m/q: questions[1].correct_answer: names the option c, which does not exist",
            ]
        );
    }
}
