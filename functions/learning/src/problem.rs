//! The problems that only learning has.

use rollcall_domain::attempt::AttemptRefusal;
use rollcall_domain::enrollment::TermsRefusal;
use rollcall_domain::time::Timestamp;
use rollcall_edge::Problem;
use rollcall_runtime::declaration::ProblemKind;

/// All attempts that a quiz allows were made.
pub(crate) static ATTEMPTS_EXHAUSTED: ProblemKind = ProblemKind {
    code: "attempts-exhausted",
    status: 409,
    title: "All attempts at this quiz were made.",
    advice: "Show the attempts that were made; there is no other.",
};

/// An instructor would judge themselves.
pub(crate) static OWN_WORK: ProblemKind = ProblemKind {
    code: "own-work",
    status: 409,
    title: "Nobody grades or rewards themselves.",
    advice: "Ask another instructor.",
};

/// The last attempt failed too short a time ago.
pub(crate) static COOLING_DOWN: ProblemKind = ProblemKind {
    code: "quiz-cooling-down",
    status: 409,
    title: "The next attempt at this quiz may not be started yet.",
    advice: "Start it after the time in Retry-After.",
};

/// The attempt was submitted with other answers, or is too old.
pub(crate) static ATTEMPT_CLOSED: ProblemKind = ProblemKind {
    code: "attempt-closed",
    status: 409,
    title: "This attempt is no longer open.",
    advice: "Start another attempt.",
};

/// Courses that are required are not complete.
pub(crate) static PREREQUISITES_MISSING: ProblemKind = ProblemKind {
    code: "prerequisites-missing",
    status: 409,
    title: "Other courses must be completed first.",
    advice: "Complete the courses that `detail` names.",
};

/// Too early or too late.
pub(crate) static ENROLLMENT_CLOSED: ProblemKind = ProblemKind {
    code: "enrollment-closed",
    status: 409,
    title: "Enrolment is not open now.",
    advice: "See `enrollment` of the course or pathway for when it is.",
};

/// All places are taken.
pub(crate) static NO_PLACE_LEFT: ProblemKind = ProblemKind {
    code: "no-place-left",
    status: 409,
    title: "All places are taken.",
    advice: "Try again when somebody may have left.",
};

/// The answer to who may not make an attempt now.
pub(crate) fn attempt_refused(refusal: &AttemptRefusal, now: Timestamp) -> Problem {
    match refusal {
        AttemptRefusal::Exhausted { .. } => {
            Problem::new(&ATTEMPTS_EXHAUSTED).with_detail(refusal.to_string())
        }
        AttemptRefusal::CoolingDown { until } => {
            let seconds = until.duration_since(now).as_secs().max(0) + 1;
            Problem::new(&COOLING_DOWN)
                .with_detail(refusal.to_string())
                .with_retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
        }
    }
}

/// The answer to whom the terms do not admit.
pub(crate) fn terms_refused(refusal: &TermsRefusal) -> Problem {
    let kind = match refusal {
        TermsRefusal::Prerequisites(_) => &PREREQUISITES_MISSING,
        TermsRefusal::NotOpen(_) | TermsRefusal::Closed(_) => &ENROLLMENT_CLOSED,
    };
    Problem::new(kind).with_detail(refusal.to_string())
}
