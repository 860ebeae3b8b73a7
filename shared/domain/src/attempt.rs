//! Attempts at quizzes: one is started, shown in an order of its own, and submitted once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalog::{CatalogVersion, QuizName};
use crate::id::AttemptId;
use crate::limits::ATTEMPT_SECONDS_MAX;
use crate::progress::TaskRecord;
use crate::quiz::{Question, QuestionOption, Quiz, QuizTerms};
use crate::slug::Slug;
use crate::time::{Timestamp, after_seconds};

/// An attempt that was started and not submitted. A user has one at most of each quiz.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// Its id, which also decides in which order its questions are shown.
    pub id: AttemptId,
    /// The quiz.
    pub name: QuizName,
    /// The version of the catalogue whose questions it shows.
    pub version: CatalogVersion,
    /// When it was started.
    pub started_at: Timestamp,
}

/// An attempt that was submitted. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was started.
    pub opened: OpenAttempt,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// The option chosen for each question that was answered.
    pub answers: BTreeMap<Slug, Slug>,
    /// Which attempt at this quiz it was; the first is 1.
    pub number: u32,
    /// What it was worth, in percent.
    pub score: u32,
    /// Whether that was enough.
    pub passed: bool,
}

/// Why no attempt may be made now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptRefusal {
    /// All attempts that the quiz allows were made.
    #[error("all {attempts_max} attempts were made")]
    Exhausted {
        /// How many it allows.
        attempts_max: u32,
    },
    /// The last attempt failed too short a time ago.
    #[error("the next attempt may be started from {until} on")]
    CoolingDown {
        /// From when on one may try again.
        until: Timestamp,
    },
}

/// Whether an attempt that starts at `now` is admitted, after what `record` says was done.
pub fn admit(
    terms: &QuizTerms,
    record: Option<&TaskRecord>,
    now: Timestamp,
) -> Result<(), AttemptRefusal> {
    let Some(record) = record else {
        return Ok(());
    };
    if let Some(attempts_max) = terms.attempts_max
        && record.attempts >= attempts_max
    {
        return Err(AttemptRefusal::Exhausted { attempts_max });
    }
    // Who has passed may go on practising.
    if let (Some(failed_at), None) = (record.failed_at, record.done_at) {
        let until = after_seconds(failed_at, i64::from(terms.cool_down_seconds));
        if now < until {
            return Err(AttemptRefusal::CoolingDown { until });
        }
    }
    Ok(())
}

impl OpenAttempt {
    /// Whether it may still be submitted.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < after_seconds(self.started_at, ATTEMPT_SECONDS_MAX)
    }

    /// The questions in the order in which this attempt shows them.
    pub fn questions<'quiz>(&self, quiz: &'quiz Quiz) -> Vec<&'quiz Question> {
        self.shuffled(&quiz.questions, "", |question| &question.id)
    }

    /// A question's options in the order in which this attempt shows them.
    pub fn options<'quiz>(&self, question: &'quiz Question) -> Vec<&'quiz QuestionOption> {
        self.shuffled(&question.options, question.id.as_str(), |option| &option.id)
    }

    /// Sorted by a digest of the attempt's id and their own: an order that is as good as random,
    /// the same whenever the attempt is shown, and the same in every release.
    fn shuffled<'list, T>(
        &self,
        list: &'list [T],
        within: &str,
        id: impl Fn(&T) -> &Slug,
    ) -> Vec<&'list T> {
        let mut shuffled: Vec<&T> = list.iter().collect();
        shuffled.sort_by_cached_key(|item| {
            let text = format!("{}/{within}/{}", self.id, id(item));
            <[u8; 32]>::from(Sha256::digest(text))
        });
        shuffled
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(attempts: u32, failed: Option<i64>, done: Option<i64>) -> TaskRecord {
        TaskRecord {
            attempts,
            best_score: Some(50),
            done_at: done.map(at),
            last_at: at(100),
            failed_at: failed.map(at),
            evidence_url: None,
            grading: None,
            review: None,
        }
    }

    #[test]
    fn limit_and_cool_down_decide_who_may_try() {
        let terms = |attempts_max, cool_down_seconds| QuizTerms {
            questions: 1,
            passing_score: 75,
            attempts_max,
            cool_down_seconds,
        };
        let exhausted = Err(AttemptRefusal::Exhausted { attempts_max: 2 });
        let cooling = Err(AttemptRefusal::CoolingDown { until: at(160) });
        for (terms, record, now, expected) in [
            (terms(Some(2), 60), None, 0, Ok(())),
            (terms(Some(2), 0), Some(record(1, Some(100), None)), 100, Ok(())),
            (terms(Some(2), 0), Some(record(2, Some(100), None)), 999, exhausted.clone()),
            (terms(Some(2), 0), Some(record(2, None, Some(100))), 999, exhausted),
            (terms(None, 0), Some(record(999, Some(100), None)), 100, Ok(())),
            (terms(None, 60), Some(record(1, Some(100), None)), 159, cooling),
            (terms(None, 60), Some(record(1, Some(100), None)), 160, Ok(())),
            (terms(None, 60), Some(record(2, Some(100), Some(90))), 101, Ok(())),
        ] {
            assert_eq!(admit(&terms, record.as_ref(), at(now)), expected, "{terms:?} {record:?}");
        }
    }

    #[test]
    fn d_07_attempts_of_one_millisecond_are_as_many_as_were_made() {
        let random = SeededRandom::new(7);
        let ids: BTreeSet<AttemptId> = (0..1_000).map(|_| AttemptId::new(at(1), &random)).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| *id < AttemptId::new(at(2), &random)), "ids sort by time");
    }

    #[test]
    fn every_attempt_has_an_order_of_its_own_that_never_changes() {
        let slug = |text: &str| -> Slug { text.parse().unwrap() };
        let options =
            ["a", "b", "c"].map(|id| QuestionOption { id: slug(id), text: String::new() });
        let question = |id: &str| Question {
            id: slug(id),
            stem: String::new(),
            options: options.to_vec(),
            correct_answer: slug("a"),
            points: 1,
            explanation: None,
        };
        let terms =
            QuizTerms { questions: 3, passing_score: 1, attempts_max: None, cool_down_seconds: 0 };
        let quiz = Quiz { terms, questions: ["x", "y", "z"].map(question).to_vec() };
        let mut orders = BTreeSet::new();
        for seed in 0..50 {
            let open = OpenAttempt {
                id: AttemptId::new(at(0), &SeededRandom::new(seed)),
                name: QuizName { module: slug("m"), quiz: slug("q") },
                version: CatalogVersion::default(),
                started_at: at(0),
            };
            let shown = |open: &OpenAttempt| {
                let questions = open.questions(&quiz).into_iter();
                let ids = |options: Vec<&QuestionOption>| -> String {
                    options.iter().map(|option| option.id.as_str()).collect()
                };
                let shown = questions.map(|q| format!("{}:{}", q.id, ids(open.options(q))));
                shown.collect::<Vec<_>>().join(" ")
            };
            assert_eq!(shown(&open), shown(&open.clone()));
            assert_eq!(open.questions(&quiz).len(), 3);
            assert!(
                open.is_open(at(ATTEMPT_SECONDS_MAX - 1)) && !open.is_open(at(ATTEMPT_SECONDS_MAX))
            );
            orders.insert(shown(&open));
        }
        assert!(orders.len() > 40, "only {} orders", orders.len());
    }
}
