//! Which notices matter and what follows from them, one situation at a time and in any mixture.

use proptest::prelude::*;
use rollcall_domain::random::SeededRandom;

use super::*;
use crate::schema::{EMAIL, ENROLLED_COURSES};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn user(seed: u64) -> UserId {
    UserId::new(at(0), &SeededRandom::new(seed))
}

fn current(seed: u64) -> Owner {
    Owner { user: user(seed), is_current: true, removal: None }
}

fn owners(of: &[(&str, Owner)]) -> BTreeMap<String, Vec<Owner>> {
    let mut owners: BTreeMap<String, Vec<Owner>> = BTreeMap::new();
    for (contact, owner) in of {
        owners.entry((*contact).to_owned()).or_default().push(owner.clone());
    }
    owners
}

fn changed(property: &str) -> Happened {
    Happened::Changed { contact: "1".to_owned(), property: property.to_owned() }
}

fn merged(primary: &str, merged: &[&str], survivor: &str) -> Happened {
    let merged = merged.iter().map(|contact| (*contact).to_owned()).collect();
    Happened::Merged { primary: primary.to_owned(), merged, survivor: survivor.to_owned() }
}

fn one(what: &str) -> Happened {
    let contact = "1".to_owned();
    match what {
        "erased" => Happened::Erased { contact },
        "archived" => Happened::Archived { contact },
        _ => Happened::Restored { contact },
    }
}

#[test]
fn our_own_writes_come_back_as_echoes_and_no_other_way() {
    use Screened::{Concerns, Echo, Foreign};
    for (happened, by_us, by_others) in [
        (changed(EMAIL), Echo, Concerns),
        (changed(LIFECYCLE_STAGE), Foreign, Foreign),
        (changed("hs_lead_status"), Foreign, Foreign),
        (one("archived"), Echo, Concerns),
        (one("restored"), Echo, Concerns),
        (one("erased"), Concerns, Concerns),
        (merged("1", &["2"], "3"), Concerns, Concerns),
    ] {
        assert_eq!(screen(&happened, Author::Us), by_us, "{happened:?}");
        assert_eq!(screen(&happened, Author::Other), by_others, "{happened:?}");
    }
}

#[track_caller]
fn check(happened: Happened, of: &[(&str, Owner)], policy: Policy, expected: &[Effect]) {
    let notice = Notice { id: "n".to_owned(), at: at(9), happened };
    assert_eq!(decide(&notice, &owners(of), policy), expected, "{notice:?}");
}

fn drift(what: &str, again: &[Facet]) -> Effect {
    let again = again.to_vec();
    Effect::Drift(Drift { user: user(1), what: what.to_owned(), at: at(9), again })
}

#[test]
fn an_edit_of_something_of_ours_is_drift_and_the_policy_says_who_wins() {
    let ada = ("1", current(1));
    let moved = Owner { is_current: false, ..current(1) };
    for owner in [&ada, &("1", moved)] {
        let owner = std::slice::from_ref(owner);
        check(changed(EMAIL), owner, Policy::Ours, &[drift(EMAIL, &[Facet::Identity])]);
        let learning = drift(ENROLLED_COURSES, &[Facet::Learning]);
        check(changed(ENROLLED_COURSES), owner, Policy::Ours, &[learning]);
        check(changed(EMAIL), owner, Policy::Theirs, &[drift(EMAIL, &[])]);
    }
    let whole = drift(WHOLE_CONTACT, &Facet::ALL);
    let unlink = Effect::Unlink { user: user(1), from: "1".to_owned() };
    check(one("archived"), std::slice::from_ref(&ada), Policy::Ours, &[whole.clone(), unlink]);
    check(one("restored"), std::slice::from_ref(&ada), Policy::Ours, &[whole]);
    check(one("archived"), &[ada], Policy::Theirs, &[drift(WHOLE_CONTACT, &[])]);
    check(changed(EMAIL), &[], Policy::Ours, &[]);
}

#[test]
fn an_erasure_outdoes_an_archiving_and_nothing_else_touches_who_leaves() {
    let leaving = |removal| ("1", Owner { removal: Some(removal), ..current(1) });
    let erase = Effect::Erase { user: user(1) };
    check(one("erased"), &[("1", current(1))], Policy::Theirs, std::slice::from_ref(&erase));
    check(one("erased"), &[leaving(RemovalKind::Archive)], Policy::Ours, &[erase]);
    check(one("erased"), &[leaving(RemovalKind::Erase)], Policy::Ours, &[]);
    for happened in [changed(EMAIL), one("archived"), one("restored"), merged("1", &["2"], "3")] {
        check(happened, &[leaving(RemovalKind::Archive)], Policy::Ours, &[]);
    }
}

#[test]
fn a_merge_re_points_the_first_and_unlinks_the_others() {
    let repoint = |seed, from: &str, aliases: &[&str], to: &str| Effect::Repoint {
        user: user(seed),
        from: from.to_owned(),
        to: to.to_owned(),
        aliases: aliases.iter().map(|contact| (*contact).to_owned()).collect(),
    };
    let happened = || merged("1", &["2"], "3");
    let both = [("1", current(1)), ("2", current(2))];
    let unlink = Effect::Unlink { user: user(2), from: "2".to_owned() };
    let first = repoint(1, "1", &["1", "2"], "3");
    check(happened(), &both, Policy::Theirs, &[first, unlink]);
    let second = repoint(2, "2", &["1", "2"], "3");
    check(happened(), &both[1..], Policy::Ours, &[second]);
    let kept = repoint(1, "1", &["2"], "1");
    check(merged("1", &["2"], "1"), &both[..1], Policy::Ours, &[kept]);
    let moved = ("1", Owner { is_current: false, ..current(1) });
    check(happened(), &[moved], Policy::Ours, &[]);
    // The sync heard of the merge first: it wrote some of the values, and not all.
    let learned = repoint(4, "3", &["1", "2"], "3");
    check(happened(), &[("3", current(4))], Policy::Theirs, std::slice::from_ref(&learned));
    let unlink = Effect::Unlink { user: user(1), from: "1".to_owned() };
    check(happened(), &[("1", current(1)), ("3", current(4))], Policy::Ours, &[learned, unlink]);
}

proptest! {
    /// However many are merged: at most one user has the survivor, nobody is touched twice, and who
    /// has to leave is not touched at all.
    #[test]
    fn a_merge_leaves_the_survivor_to_one_user(
        of in prop::collection::vec((0_u8..5, 1_u64..5, any::<bool>(), any::<bool>()), 0..8),
    ) {
        let mut by_contact: BTreeMap<String, Vec<Owner>> = BTreeMap::new();
        let mut placed = Vec::new();
        for (contact, seed, is_current, leaves) in of {
            // A user has one current contact.
            if is_current && placed.contains(&seed) {
                continue;
            }
            placed.extend(is_current.then_some(seed));
            let removal = leaves.then_some(RemovalKind::Archive);
            let owner = Owner { user: user(seed), is_current, removal };
            by_contact.entry(contact.to_string()).or_default().push(owner);
        }
        let notice =
            Notice { id: String::new(), at: at(1), happened: merged("0", &["1", "2", "3"], "4") };
        let effects = decide(&notice, &by_contact, Policy::Ours);
        let mut touched: Vec<UserId> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Repoint { user, .. } | Effect::Unlink { user, .. } => user.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let staying = by_contact.values().flatten();
        let staying = staying.filter(|owner| owner.is_current && owner.removal.is_none()).count();
        prop_assert_eq!(touched.len(), staying);
        touched.sort();
        touched.dedup();
        prop_assert_eq!(touched.len(), staying);
        let repoints = effects.iter().filter(|effect| matches!(effect, Effect::Repoint { .. }));
        prop_assert!(repoints.count() <= 1);
    }
}
