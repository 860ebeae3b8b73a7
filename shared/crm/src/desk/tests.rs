//! The rules of the desk, by examples and by properties.

use proptest::prelude::*;
use rollcall_domain::random::SeededRandom;

use super::*;
use crate::ledger::{Acknowledged, FacetEntry, Refused};
use crate::milestone::MilestoneKind;
use crate::port::Address;
use crate::removal::{Removal, RemovalKind};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn user() -> UserId {
    UserId::new(at(0), &SeededRandom::new(1))
}

fn letter(number: u64, cause: &str, seen: i64) -> Filed {
    Filed {
        id: DeadLetterId::new(at(0), &SeededRandom::new(number)),
        about: About::Change { user: user(), facet: Facet::Learning, milestone: None },
        cause: Cause {
            request: BTreeMap::new(),
            category: "C".to_owned(),
            message: format!("{cause} {seen}"),
            fingerprint: cause.to_owned(),
        },
        first_seen_at: at(seen),
        last_seen_at: at(seen),
        tries: 1,
        status: Status::Open,
        function_version: String::new(),
        edited: None,
        discarded: None,
    }
}

fn projected(hash: &str) -> Projected {
    let properties = [(schema::ENROLLED_COURSES, "first-steps"), (schema::COMPLETED_COURSES, "")];
    let properties = properties.map(|(name, value)| (name, value.to_owned()));
    Projected { properties: properties.into(), hash: hash.to_owned(), version: 1 }
}

fn state() -> BTreeMap<Facet, Projected> {
    let identity = Projected {
        properties: [(schema::EMAIL, "ada@rollcall.example".to_owned())].into(),
        hash: "identity".to_owned(),
        version: 1,
    };
    BTreeMap::from([(Facet::Identity, identity), (Facet::Learning, projected("learning"))])
}

fn replacing(name: &str, value: Option<&str>) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([(name.to_owned(), value.map(ToOwned::to_owned))])
}

#[test]
fn an_edit_replaces_or_leaves_out_properties_of_exactly_the_state_that_was_refused() {
    let new =
        |name: &str, value| Edit::new(Facet::Learning, "old".to_owned(), replacing(name, value));
    let replaced = new(schema::ENROLLED_COURSES, Some("none")).unwrap();
    let edited = replaced.apply(projected("old"));
    assert_eq!(edited.properties[schema::ENROLLED_COURSES], "none");
    assert_eq!((edited.hash.as_str(), edited.properties.len()), ("old", 2));
    let left_out = new(schema::ENROLLED_COURSES, None).unwrap().apply(projected("old"));
    assert_eq!(
        left_out.properties.keys().copied().collect::<Vec<_>>(),
        [schema::COMPLETED_COURSES]
    );
    assert_eq!(replaced.apply(projected("new")), projected("new"), "a newer state is not touched");
    let sketched = replaced.sketched();
    assert!(!format!("{sketched:?}").contains("none"), "{sketched:?}");
}

#[test]
fn an_edit_names_what_is_wrong_with_it() {
    for (properties, property, fault) in [
        (BTreeMap::new(), "", EditFault::Nothing),
        (replacing(schema::USER_ID, Some("usr_1")), schema::USER_ID, EditFault::Key),
        (replacing("nonsense", None), "nonsense", EditFault::Unknown),
        (replacing(schema::ENROLLED_COURSES, None), schema::ENROLLED_COURSES, EditFault::Unknown),
        (
            replacing(schema::FIRST_NAME, Some(&"x".repeat(TEXT_CHARACTERS_MAX + 1))),
            schema::FIRST_NAME,
            EditFault::TooLong,
        ),
    ] {
        let refused = Edit::new(Facet::Identity, String::new(), properties).unwrap_err();
        assert_eq!((refused.property.as_str(), refused.fault), (property, fault));
    }
    let email = replacing(schema::EMAIL, Some("Ada@Rollcall.Example"));
    let edit = Edit::new(Facet::Identity, String::new(), email).unwrap();
    assert_eq!(edit.properties, replacing(schema::EMAIL, Some("ada@rollcall.example")));
}

#[test]
fn what_would_be_sent_is_what_the_engine_decides() {
    let dead_letter = letter(1, "a", 1).id;
    let refused = Some(Refused { hash: "learning".to_owned(), dead_letter });
    let held = |hash: &str| Some(Acknowledged { hash: hash.to_owned(), version: 1, at: at(0) });
    let known = |acknowledged, refused| Ledger {
        contact_id: Some("501".to_owned()),
        facets: [(Facet::Learning, FacetEntry { acknowledged, refused })].into(),
        ..Ledger::default()
    };
    let leaving = Removal::new("w".to_owned(), RemovalKind::Erase, None, at(0));
    let leaving = Ledger { removal: Some(leaving), ..known(None, None) };
    for (name, ledger, forced, expected) in [
        ("the CRM holds it", known(held("learning"), None), false, vec![]),
        ("it is sent all the same", known(held("learning"), None), true, vec![Facet::Learning]),
        ("it changed", known(held("older"), None), false, vec![Facet::Learning]),
        ("it was refused", known(None, refused.clone()), false, vec![]),
        ("it was refused and is replayed", known(None, refused), true, vec![Facet::Learning]),
        ("the contact leaves", leaving, true, vec![]),
        ("there is no contact", Ledger::default(), false, Facet::ALL.to_vec()),
    ] {
        let key = KeyKind::UserId;
        let sent = requests(&user(), &[Facet::Learning], forced, (&ledger, state()), key);
        let facets: Vec<Facet> = sent.iter().flat_map(|input| input.facets.clone()).collect();
        assert_eq!(facets, expected, "{name}");
        for input in sent {
            assert_eq!(input.address, Address::UserId(user()), "{name}");
        }
    }
}

#[test]
fn the_others_are_sent_only_when_the_canary_was_acknowledged() {
    let canary = Canary { letter: letter(1, "a", 1).id, at: at(1) };
    assert_eq!(step(None), Step::Begin);
    for (status, expected) in [
        (None, Step::Begin),
        (Some(Status::Open), Step::Stop),
        (Some(Status::Replaying), Step::Wait),
        (Some(Status::Resolved), Step::Spread),
        (Some(Status::Superseded), Step::Begin),
        (Some(Status::Withdrawn), Step::Begin),
        (Some(Status::Discarded), Step::Begin),
        (Some(Status::Returned), Step::Begin),
    ] {
        assert_eq!(step(Some((&canary, status))), expected, "{status:?}");
    }
}

#[test]
fn a_letter_knows_its_kind() {
    let facet = letter(1, "a", 1);
    assert_eq!(facet.kind(), Kind::Facet);
    let kind = MilestoneKind::ALL[0];
    let subject = String::new();
    let milestone = Milestone { id: "m".to_owned(), user: user(), kind, at: at(0), subject };
    let about = About::Change { user: user(), facet: kind.facet(), milestone: Some(milestone) };
    assert_eq!(Filed { about, ..facet.clone() }.kind(), Kind::Milestone);
    let about = About::Message(QueueMessage {
        queue: "crm-drain".to_owned(),
        message_id: "1".to_owned(),
        body: None,
        shown: String::new(),
        receives: 5,
    });
    let message = Filed { about, ..facet };
    assert_eq!((message.kind(), message.dirty("trace")), (Kind::Message, None));
}

#[test]
fn a_body_shows_no_address_and_one_about_people_nothing_at_all() {
    assert_eq!(shown(r#"{"reason":"pending"}"#, false), r#"{"reason":"pending"}"#);
    for personal in [true, false] {
        let shown = shown(r#"{"name":"Ada", "email":"ada@rollcall.example"}"#, personal);
        assert!(!shown.contains("ada@"), "{shown}");
        assert_eq!(shown.contains("Ada"), !personal, "{shown}");
    }
}

#[test]
fn a_message_is_always_the_same_letter_and_no_other_message_is() {
    let one = letter_of_message("crm-drain", "1", at(1));
    assert_eq!(one, letter_of_message("crm-drain", "1", at(1)));
    for (queue, message, sent) in [("crm-drain", "2", 1), ("user-sweep", "1", 1)] {
        assert_ne!(one, letter_of_message(queue, message, at(sent)));
    }
    assert!(one < letter_of_message("crm-drain", "0", at(2)));
}

proptest! {
    #[test]
    fn groups_count_every_letter_once_and_span_their_times(
        letters in proptest::collection::vec(("[abc]", 0_i64..1_000), 0..40),
    ) {
        let numbered = letters.iter().zip(1..);
        let filed: Vec<Filed> =
            numbered.map(|((cause, seen), seed)| letter(seed, cause, *seen)).collect();
        let groups = grouped(&filed);
        prop_assert_eq!(groups.iter().map(|group| group.count).sum::<usize>(), filed.len());
        prop_assert!(groups.is_sorted_by_key(|group| std::cmp::Reverse(group.count)));
        for group in &groups {
            let own = || letters.iter().filter(|(cause, _)| *cause == group.fingerprint);
            prop_assert_eq!(group.count, own().count());
            prop_assert_eq!(Some(group.first_seen_at), own().map(|(_, seen)| at(*seen)).min());
            prop_assert_eq!(Some(group.last_seen_at), own().map(|(_, seen)| at(*seen)).max());
            let example = filed.iter().find(|letter| letter.id == group.example).unwrap();
            prop_assert_eq!(example.last_seen_at, group.last_seen_at);
            prop_assert_eq!(&example.cause.message, &group.message);
        }
    }

    #[test]
    fn different_filters_have_different_names(
        one in (0..8_usize, 0..3_usize, "[ab]?", proptest::option::of(0_i64..3)),
        other in (0..8_usize, 0..3_usize, "[ab]?", proptest::option::of(0_i64..3)),
    ) {
        let filter = |(status, facet, cause, since): (usize, usize, String, Option<i64>)| Filter {
            status: Status::ALL.get(status).copied(),
            facet: Facet::ALL.get(facet).copied(),
            fingerprint: Some(cause).filter(|cause| !cause.is_empty()),
            since: since.map(at),
            ..Filter::default()
        };
        let (one, other) = (filter(one), filter(other));
        prop_assert_eq!(one.name() == other.name(), one == other);
    }
}
