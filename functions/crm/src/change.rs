//! From a changed item to what the CRM has to hear about: the user and facet that changed, and what
//! happened for the first time.

use std::collections::BTreeMap;

use rollcall_crm::milestone::{
    AccountImage, LearningImage, Milestone, ModuleImage, of_account, of_learning, of_module,
};
use rollcall_crm::pending::Dirty;
use rollcall_domain::badge::{BadgeKind, BadgeName};
use rollcall_domain::catalog::CatalogVersion;
use rollcall_domain::certificate::{CertificateKind, CertificateName};
use rollcall_domain::enrollment::Target;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use serde::Deserialize;
use serde_dynamo::{Item, from_item};

/// The sort key of a user's own item among those of the table of users.
const PROFILE: &str = "profile";

/// The keys of an item.
#[derive(Debug, Deserialize)]
pub(crate) struct Keys {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

/// The table of a stream, by the stream's ARN.
pub(crate) fn table_of(stream_arn: &str, stage: &str) -> Option<Table> {
    let (_, rest) = stream_arn.split_once(":table/")?;
    let (name, _) = rest.split_once("/stream/")?;
    let mut streamed = Table::ALL.into_iter().filter(|table| table.has_stream());
    streamed.find(|table| table.full_name(stage) == name)
}

/// What the CRM has to hear about after a change in `table`; `None` for items that are no part of a
/// user's state, such as the claim on an identity.
pub(crate) fn dirty(table: Table, key: &str, trace_id: Option<String>) -> Option<Dirty> {
    let facet = match table {
        Table::Users => Facet::Identity,
        Table::Enrollments | Table::Progress | Table::Badges | Table::Certificates => {
            Facet::Learning
        }
        Table::Attempts
        | Table::Catalog
        | Table::Crm
        | Table::Edge
        | Table::Audit
        | Table::Mail
        | Table::Directory
        | Table::Portfolio => return None,
    };
    Some(Dirty { user: user(key)?, facet, trace_id })
}

fn user(key: &str) -> Option<UserId> {
    key.strip_prefix("user#")?.parse().ok()
}

/// What milestones need of a user's item. Items of before an attribute was thought of lack it.
#[derive(Debug, Default, Deserialize)]
struct AccountItem {
    joined_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    standing: Option<StandingItem>,
}

#[derive(Debug, Deserialize)]
struct StandingItem {
    erase_at: Option<Timestamp>,
}

/// What milestones need of an enrolment, a completion, a badge or a certificate.
#[derive(Debug, Default, Deserialize)]
struct LearningItem {
    kind: Option<String>,
    slug: Option<Slug>,
    enrolled_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    earned_at: Option<Timestamp>,
    awarded_at: Option<Timestamp>,
    #[serde(default)]
    catalog: CatalogVersion,
}

/// By which import an item was written, if its last write was one, and whether it follows from what
/// one wrote.
#[derive(Debug, Default, Deserialize)]
struct ImportItem {
    import: Option<Slug>,
    #[serde(default)]
    is_history: bool,
}

/// What milestones need of progress in a module.
#[derive(Debug, Default, Deserialize)]
struct ModuleItem {
    slug: Option<Slug>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    #[serde(default)]
    completed_catalog: CatalogVersion,
    #[serde(default)]
    tasks: BTreeMap<Slug, TaskItem>,
}

#[derive(Debug, Deserialize)]
struct TaskItem {
    /// Only quizzes have a score.
    best_score: Option<u32>,
    done_at: Option<Timestamp>,
}

/// The milestones of a change in `table`. An image without attributes is none.
pub(crate) fn milestones(
    table: Table,
    keys: &Keys,
    before: Item,
    after: Item,
) -> Result<Vec<Milestone>, serde_dynamo::Error> {
    let Some(user) = user(&keys.pk) else {
        return Ok(Vec::new());
    };
    let sort_key = keys.sk.as_str();
    // What an earlier system told is history: no milestone of today comes of it.
    let written: ImportItem = from_item(after.clone())?;
    if written.import.is_some() || written.is_history {
        return Ok(Vec::new());
    }
    match table {
        Table::Users if sort_key == PROFILE => {
            let (before, after) = (account_image(before)?, account_image(after)?);
            Ok(of_account(&user, before.as_ref(), after.as_ref()))
        }
        Table::Progress if sort_key.starts_with("module#") => {
            let (before, after) = (module_image(before)?, module_image(after)?);
            Ok(of_module(&user, before.as_ref(), after.as_ref()))
        }
        Table::Enrollments | Table::Progress | Table::Badges | Table::Certificates => {
            let (before, after) = (learning_image(before)?, learning_image(after)?);
            Ok(of_learning(&user, before.as_ref(), after.as_ref()).into_iter().collect())
        }
        Table::Users
        | Table::Attempts
        | Table::Catalog
        | Table::Crm
        | Table::Edge
        | Table::Audit
        | Table::Mail
        | Table::Directory
        | Table::Portfolio => Ok(Vec::new()),
    }
}

fn module_image(item: Item) -> Result<Option<ModuleImage>, serde_dynamo::Error> {
    let ModuleItem { slug, started_at, completed_at, completed_catalog, tasks } = from_item(item)?;
    let passed = tasks.into_iter().filter(|(_, task)| task.best_score.is_some());
    let quizzes_passed = passed.filter_map(|(quiz, task)| Some((quiz, task.done_at?))).collect();
    let begun = slug.zip(started_at);
    Ok(begun.map(|(module, started_at)| ModuleImage {
        module,
        started_at,
        completed_at: completed_at.filter(|_| !completed_catalog.is_elsewhere()),
        quizzes_passed,
    }))
}

/// An item of which there is nothing to tell, such as a learner's own, has none.
fn learning_image(item: Item) -> Result<Option<LearningImage>, serde_dynamo::Error> {
    let item: LearningItem = from_item(item)?;
    let LearningItem { kind: Some(kind), slug: Some(slug), .. } = item else {
        return Ok(None);
    };
    let certificate = item.awarded_at.zip(CertificateKind::named(&kind));
    let badge = item.earned_at.zip(BadgeKind::named(&kind));
    let target = kind.parse().ok().map(|kind| Target { kind, slug: slug.clone() });
    Ok(if let Some((awarded_at, kind)) = certificate {
        Some(LearningImage::Certified(CertificateName { kind, slug }, awarded_at))
    } else if let Some((earned_at, kind)) = badge {
        Some(LearningImage::Awarded(BadgeName { kind, slug }, earned_at))
    } else if let Some((target, enrolled_at)) = target.clone().zip(item.enrolled_at) {
        Some(LearningImage::Enrolled(target, enrolled_at))
    } else {
        let here = item.completed_at.filter(|_| !item.catalog.is_elsewhere());
        let completed = target.zip(here);
        completed.map(|(target, completed_at)| LearningImage::Completed(target, completed_at))
    })
}

fn account_image(item: Item) -> Result<Option<AccountImage>, serde_dynamo::Error> {
    let item: AccountItem = from_item(item)?;
    let erase_at = item.standing.and_then(|standing| standing.erase_at);
    let seen = item.joined_at.zip(item.last_seen_at);
    Ok(seen.map(|(joined_at, last_seen_at)| AccountImage {
        joined_at,
        last_seen_at,
        erase_at,
        updated_at: item.updated_at.unwrap_or(last_seen_at),
    }))
}

#[cfg(test)]
mod tests {
    use rollcall_crm::milestone::MilestoneKind;
    use rollcall_domain::random::SeededRandom;
    use serde_json::{Value, json};

    use super::*;

    fn image(image: &Value) -> Item {
        serde_dynamo::to_item(image).unwrap()
    }

    fn check(sort_key: &str, before: &Value, after: &Value, expected: &[MilestoneKind]) {
        check_in(Table::Users, sort_key, before, after, expected);
    }

    fn check_in(
        table: Table,
        sort_key: &str,
        before: &Value,
        after: &Value,
        expected: &[MilestoneKind],
    ) {
        let user = UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(1));
        let keys = Keys { pk: format!("user#{user}"), sk: sort_key.to_owned() };
        let found = milestones(table, &keys, image(before), image(after)).unwrap();
        let kinds: Vec<MilestoneKind> = found.iter().map(|milestone| milestone.kind).collect();
        assert_eq!(kinds, expected, "{before} {after}");
    }

    #[test]
    fn images_as_they_are_stored_give_milestones_and_other_items_none() {
        use MilestoneKind::{DeletionAsked, Joined, SignedIn};
        let none = json!({});
        let old = json!({
            "joined_at": "2026-11-21T06:00:00Z", "last_seen_at": "2026-11-21T06:00:00Z",
            "email": "a@b.c", "version": 1,
        });
        let mut leaving = old.clone();
        leaving["standing"] = json!({ "is": "leaving", "erase_at": "2026-11-28T06:00:00Z" });
        let mut active = old.clone();
        active["standing"] = json!({ "is": "active" });
        check("profile", &none, &old, &[Joined, SignedIn]);
        check("profile", &old, &active, &[]);
        check("profile", &active, &leaving, &[DeletionAsked]);
        check("profile", &leaving, &leaving, &[]);
        check("profile", &leaving, &none, &[]);
        check("identity#a#b", &none, &old, &[]);
    }
    #[test]
    fn what_was_learned_gives_milestones_as_it_is_stored() {
        use MilestoneKind::{
            BadgeAwarded, CertificateAwarded, CourseEnrolled, ModuleCompleted, ModuleStarted,
            PathwayCompleted, QuizPassed,
        };
        let none = json!({});
        let at = "2026-11-21T06:00:00Z";
        let check = |table, sort_key: &str, before: &Value, after: &Value, expected: &[_]| {
            check_in(table, sort_key, before, after, expected);
            check_in(table, sort_key, after, after, &[]);
            check_in(table, sort_key, after, &none, &[]);
        };
        let task = |score: Option<u32>, done: Option<&str>| json!({ "attempts": 1, "best_score": score, "done_at": done, "last_at": at });
        let mut module = json!({
            "type": "module", "slug": "m", "started_at": at, "completed_at": null, "tasks": {},
        });
        let begun = module.clone();
        check(Table::Progress, "module#m", &none, &begun, &[ModuleStarted]);
        module["tasks"]["check"] = task(Some(20), None);
        check(Table::Progress, "module#m", &begun, &module, &[]);
        let failed = module.clone();
        module["tasks"]["check"] = task(Some(80), Some(at));
        module["tasks"]["lab"] = task(None, Some(at));
        module["completed_at"] = json!(at);
        check(Table::Progress, "module#m", &failed, &module, &[QuizPassed, ModuleCompleted]);
        let learner = json!({ "type": "learner", "version": 1, "viewed": null });
        check(Table::Progress, "learner", &none, &learner, &[]);
        let completion = json!({ "kind": "pathway", "slug": "p", "completed_at": at });
        let key = "completion#pathway#p";
        check(Table::Progress, key, &none, &completion, &[PathwayCompleted]);
        let enrollment = json!({ "kind": "course", "slug": "c", "enrolled_at": at });
        let key = "enrollment#course#c";
        check(Table::Enrollments, key, &none, &enrollment, &[CourseEnrolled]);
        let badge = json!({ "kind": "course", "slug": "c", "earned_at": at });
        check(Table::Badges, "badge#course#c", &none, &badge, &[BadgeAwarded]);
        // What an earlier system told is no news, whoever writes it again.
        let elsewhere = CatalogVersion::elsewhere().to_string();
        let mut told = json!({ "kind": "course", "slug": "c", "completed_at": at });
        told["catalog"] = json!(elsewhere);
        check(Table::Progress, "completion#course#c", &none, &told, &[]);
        told = json!({ "kind": "course", "slug": "c", "earned_at": at, "is_history": true });
        check(Table::Badges, "badge#course#c", &none, &told, &[]);
        let mut told = begun.clone();
        told["completed_at"] = json!(at);
        told["completed_catalog"] = json!(elsewhere);
        check(Table::Progress, "module#m", &begun, &told, &[]);
        let certificate =
            json!({ "kind": "course", "slug": "c", "earned_at": at, "awarded_at": at });
        let key = "certificate#course#c";
        check(Table::Certificates, key, &none, &certificate, &[CertificateAwarded]);
        let mut imported = begun.clone();
        imported["import"] = json!("learn");
        check(Table::Progress, "module#m", &none, &imported, &[]);
        let places = Keys { pk: "places#course#c".to_owned(), sk: "places".to_owned() };
        let found = milestones(Table::Enrollments, &places, image(&none), image(&enrollment));
        assert_eq!(found.unwrap(), []);
    }
}
