//! What an instructor says about somebody's work. It counts like any outcome, so the better one wins
//! and nothing that was done is taken back; what was submitted stays as it was.

use serde::{Deserialize, Serialize};

use crate::catalog::{Task, TaskKind};
use crate::id::UserId;
use crate::limits::GRADING_REASON_CHARACTERS_MAX;
use crate::progress::TaskRecord;
use crate::text::{TextError, normalize_required};
use crate::time::Timestamp;

/// An instructor's grade of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grading {
    /// Who graded.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// The score, in percent, of a quiz.
    pub score: Option<u32>,
    /// Whether that is enough.
    pub passed: bool,
    /// Why, for the learner to read.
    pub reason: String,
}

/// Why a grade is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradingRefusal {
    /// Nobody grades themselves.
    #[error("nobody grades their own work")]
    OwnWork,
    /// A quiz is graded by a score.
    #[error("a quiz is graded by a score from 0 to 100")]
    Score,
    /// A lab is done or not.
    #[error("a lab has no score")]
    ScoreOfLab,
    /// Why, must be said.
    #[error("the reason {0}")]
    Reason(#[from] TextError),
}

/// What `by` says about a task of `learner`. A lab that is graded counts as done.
pub fn grade(
    (by, learner): (&UserId, &UserId),
    task: &Task,
    score: Option<u32>,
    reason: &str,
    now: Timestamp,
) -> Result<Grading, GradingRefusal> {
    if by == learner {
        return Err(GradingRefusal::OwnWork);
    }
    let passed = match (&task.kind, score) {
        (TaskKind::Quiz(terms), Some(score)) if score <= 100 => score >= terms.passing_score,
        (TaskKind::Quiz(_), _) => return Err(GradingRefusal::Score),
        (TaskKind::Lab(_), Some(_)) => return Err(GradingRefusal::ScoreOfLab),
        (TaskKind::Lab(_), None) => true,
    };
    let reason = normalize_required(reason, GRADING_REASON_CHARACTERS_MAX)?;
    Ok(Grading { by: by.clone(), at: now, score, passed, reason })
}

impl Grading {
    /// Whether `record` says so already, by the same instructor.
    pub fn repeats(&self, record: Option<&TaskRecord>) -> bool {
        let said = record.and_then(|record| record.grading.as_ref());
        said.is_some_and(|said| *said == Self { at: said.at, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Module};
    use crate::enrollment::Target;
    use crate::learning::Learner;
    use crate::progress::{TaskOutcome, perform};
    use crate::quiz::QuizTerms;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn people() -> (UserId, UserId) {
        let random = SeededRandom::new(1);
        (UserId::new(at(0), &random), UserId::new(at(0), &random))
    }

    fn tasks() -> [Task; 2] {
        let terms =
            QuizTerms { questions: 1, passing_score: 75, attempts_max: None, cool_down_seconds: 0 };
        let lab = Task::lab("lab".parse().unwrap());
        let slug = "quiz".parse().unwrap();
        [Task { slug, kind: TaskKind::Quiz(terms), ..lab.clone() }, lab]
    }

    #[test]
    fn a_grade_is_of_others_work_and_says_why() {
        let (by, learner) = people();
        let [quiz, lab] = tasks();
        let long = "x".repeat(GRADING_REASON_CHARACTERS_MAX + 1);
        for (task, score, reason, expected) in [
            (&quiz, Some(75), "a", Ok(true)),
            (&quiz, Some(74), "a", Ok(false)),
            (&quiz, Some(100), "a", Ok(true)),
            (&quiz, Some(101), "a", Err(GradingRefusal::Score)),
            (&quiz, None, "a", Err(GradingRefusal::Score)),
            (&lab, None, "a", Ok(true)),
            (&lab, Some(1), "a", Err(GradingRefusal::ScoreOfLab)),
            (&lab, None, " ", Err(GradingRefusal::Reason(TextError::Empty))),
        ] {
            let graded = grade((&by, &learner), task, score, reason, at(1));
            assert_eq!(graded.map(|grading| grading.passed), expected, "{score:?} {reason:?}");
        }
        assert!(grade((&by, &learner), &lab, None, &long, at(1)).is_err());
        let own = grade((&by, &by), &lab, None, "a", at(1));
        assert_eq!(own, Err(GradingRefusal::OwnWork));
    }

    #[test]
    fn d_09_a_grade_adds_and_takes_nothing_back_and_is_no_attempt() {
        let (by, learner) = people();
        let [quiz, lab] = tasks();
        let module = Module::new("m".parse().unwrap(), "m", vec![quiz.clone(), lab.clone()]);
        let course =
            crate::catalog::Course::new("c".parse().unwrap(), "c", vec![module.slug.clone()]);
        let catalog = Catalog::new(Vec::new(), vec![course], vec![module.clone()]).unwrap();
        let mut state = Learner::default();
        let mut act = |task: &Task, outcome: TaskOutcome, second: i64| {
            let changes = perform(&state, &catalog, &module, task, &outcome, at(second));
            let completed = changes.completions.len();
            state.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
            for completion in changes.completions {
                state.completions.insert(completion.target.clone(), completion);
            }
            (state.modules[&module.slug].tasks[&task.slug].clone(), completed)
        };
        let judged = |task: &Task, score, second| {
            let graded = grade((&by, &learner), task, score, "why", at(second));
            TaskOutcome::Judged(graded.unwrap())
        };
        act(&quiz, TaskOutcome::Graded { score: 20, passed: false }, 1);
        let (record, completed) = act(&quiz, judged(&quiz, Some(80), 2), 2);
        assert_eq!((record.attempts, record.best_score, record.last_at), (1, Some(80), at(1)));
        assert_eq!((record.done_at, completed), (Some(at(2)), 0));
        let (record, _) = act(&quiz, judged(&quiz, Some(10), 3), 3);
        assert_eq!((record.best_score, record.done_at), (Some(80), Some(at(2))));
        assert_eq!(record.grading.as_ref().map(|grading| grading.score), Some(Some(10)));
        let TaskOutcome::Judged(again) = judged(&quiz, Some(10), 9) else { panic!("a judgement") };
        assert!(again.repeats(Some(&record)) && !again.repeats(None));
        let (_, completed) = act(&lab, judged(&lab, None, 4), 4);
        assert_eq!(completed, 1, "completion follows by the one rule");
        assert!(state.completions.contains_key(&Target::course("c".parse().unwrap())));
    }
}
