//! What a learner does in the sample catalogue, with the keys in hand.

use rollcall_cli::sample;
use serde_json::{Value, json};

use crate::{Answer, Browser};

/// The answers to every question of a sample quiz: right, or wrong.
///
/// # Panics
///
/// When the sample has no such quiz.
pub fn answers(module: &str, quiz: &str, right: bool) -> Vec<Value> {
    let edition = sample::edition().expect("the sample catalogue is valid");
    let found = edition
        .quizzes
        .iter()
        .find(|(name, _)| name.module.as_str() == module && name.quiz.as_str() == quiz);
    let (_, quiz) = found.expect("the sample has the quiz");
    let answers = quiz.questions.iter().map(|question| {
        let options = question.options.iter().map(|option| &option.id);
        let value = options.clone().find(|id| (**id == question.correct_answer) == right);
        json!({ "id": question.id.as_str(), "value": value.expect("an option").as_str() })
    });
    answers.collect()
}

impl Browser {
    /// Starts an attempt at a quiz and gives its id.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn start_quiz(&mut self, module: &str, quiz: &str) -> String {
        let path = format!("/modules/{module}/quizzes/{quiz}/start");
        let started = self.post(&path, None).await;
        assert_eq!(started.status, 200, "{started:?}");
        started.json()["attempt_id"].as_str().expect("an id").to_owned()
    }

    /// Submits an attempt at a sample quiz with all answers right, or all of them wrong.
    pub async fn submit_quiz(&mut self, module: &str, quiz: &str, id: &str, right: bool) -> Answer {
        let body = json!({ "attempt_id": id, "answers": answers(module, quiz, right) });
        self.post(&format!("/modules/{module}/quizzes/{quiz}/attempts"), Some(body)).await
    }

    /// Attests a lab.
    pub async fn attest_lab(&mut self, module: &str, lab: &str) -> Answer {
        self.post(&format!("/modules/{module}/labs/{lab}/attest"), None).await
    }

    /// Does every required task of a module of the sample.
    ///
    /// # Panics
    ///
    /// When something is refused.
    pub async fn complete_module(&mut self, module: &str) {
        let shown = self.get(&format!("/modules/{module}")).await.json();
        for task in shown["tasks"].as_array().expect("tasks") {
            let slug = task["slug"].as_str().expect("a slug");
            if task["required"] != true {
                continue;
            }
            let done = if task["kind"] == "quiz" {
                let id = self.start_quiz(module, slug).await;
                self.submit_quiz(module, slug, &id, true).await
            } else {
                self.attest_lab(module, slug).await
            };
            assert_eq!(done.status, 200, "{done:?}");
        }
    }
}
