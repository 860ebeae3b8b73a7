//! Users and contacts that drifted apart, against a model of what a CRM and the sync do.

use proptest::prelude::*;
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::random::SeededRandom;

use super::*;
use crate::ledger::{Acknowledged, FacetEntry, Refused};
use crate::projection::{Properties, hash};
use crate::reconcile::Policy;
use crate::removal::Removal;
use crate::schema::{ENROLLED_COURSES, FIRST_NAME, JOINED_AT, MODULES_COMPLETED};

/// What somebody did to a user's contact.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Drift {
    Nothing,
    Removed,
    LearningLost,
    NameEdited,
    CoursesEdited,
    KeyCleared,
    Merged,
    MergedAndEdited,
}

impl Drift {
    const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Removed,
        Self::LearningLost,
        Self::NameEdited,
        Self::CoursesEdited,
        Self::KeyCleared,
        Self::Merged,
        Self::MergedAndEdited,
    ];

    fn classes(self) -> &'static [Class] {
        match self {
            Self::Nothing => &[],
            Self::Removed => &[Class::Missing],
            Self::LearningLost => &[Class::Stale],
            Self::NameEdited | Self::CoursesEdited | Self::KeyCleared => &[Class::Edited],
            Self::Merged => &[Class::Merged],
            Self::MergedAndEdited => &[Class::Merged, Class::Edited],
        }
    }
}

/// One user, their ledger and their contact.
#[derive(Clone, Debug)]
struct Model {
    user: UserId,
    state: BTreeMap<Facet, Projected>,
    known: Known,
    contact: Option<ContactView>,
}

fn projected(properties: Properties) -> Projected {
    Projected { hash: hash(&properties), properties, version: 1 }
}

impl Model {
    /// A user whose contact is right.
    fn new(number: u64) -> Self {
        let user = UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(number));
        let identity = Properties::from([
            (USER_ID, user.to_string()),
            (EMAIL, format!("{number}@rollcall.example")),
            (FIRST_NAME, "Ada".to_owned()),
            (JOINED_AT, "2026-11-21T09:00:00.000Z".to_owned()),
        ]);
        let learning = Properties::from([
            (ENROLLED_COURSES, "one;two".to_owned()),
            (MODULES_COMPLETED, "3".to_owned()),
        ]);
        let state = BTreeMap::from([
            (Facet::Identity, projected(identity)),
            (Facet::Learning, projected(learning)),
        ]);
        let known = Known { ledger: Ledger::default(), busy: false };
        let mut model = Self { user, state, known, contact: None };
        model.send(&Facet::ALL, number);
        let Some(contact) = &mut model.contact else { panic!("it was sent") };
        // As a CRM shows it.
        contact.properties.insert(JOINED_AT.to_owned(), "2026-11-21T09:00:00Z".to_owned());
        contact.properties.insert(MODULES_COMPLETED.to_owned(), "3.0".to_owned());
        model
    }

    /// What the sync does with facets that are sent whatever the ledger says.
    fn send(&mut self, facets: &[Facet], number: u64) {
        let everything = self.known.ledger.contact_id.is_none();
        let facets = if everything { &Facet::ALL } else { facets };
        let id = number.to_string();
        let contact = self.contact.get_or_insert_with(|| ContactView { id, ..Default::default() });
        for facet in facets {
            let projected = &self.state[facet];
            for (name, value) in &projected.properties {
                contact.properties.insert((*name).to_owned(), value.clone());
            }
            let acknowledged = Some(Acknowledged {
                hash: projected.hash.clone(),
                version: 1,
                at: Timestamp::UNIX_EPOCH,
            });
            let entry = FacetEntry { acknowledged, refused: None };
            self.known.ledger.facets.insert(*facet, entry);
        }
        self.known.ledger.contact_id = Some(contact.id.clone());
    }

    fn suffer(&mut self, drift: Drift) {
        let contact = self.contact.as_mut().unwrap();
        let mut edit = |name: &str, value: &str| {
            contact.properties.insert(name.to_owned(), value.to_owned());
        };
        match drift {
            Drift::Nothing => {}
            Drift::Removed => self.contact = None,
            Drift::LearningLost => {
                let entry = self.known.ledger.facets.get_mut(&Facet::Learning).unwrap();
                entry.acknowledged.as_mut().unwrap().hash = "older".to_owned();
                edit(ENROLLED_COURSES, "one");
            }
            Drift::NameEdited => edit(FIRST_NAME, "Adelaide"),
            Drift::CoursesEdited => edit(ENROLLED_COURSES, "none"),
            Drift::KeyCleared => edit(USER_ID, ""),
            Drift::Merged | Drift::MergedAndEdited => {
                if drift == Drift::MergedAndEdited {
                    edit(FIRST_NAME, "Adelaide");
                }
                contact.merged.push(contact.id.clone());
                contact.id = format!("9{}", contact.id);
            }
        }
    }

    fn compared(&self) -> Compared {
        let Self { user, state, known, contact } = self;
        of_user(user, state, known, contact.as_ref(), KeyKind::UserId)
    }

    fn findings(&self) -> Vec<Finding> {
        match self.compared() {
            Compared::Right => Vec::new(),
            Compared::Differs(findings) => findings,
            other => panic!("{other:?}"),
        }
    }

    fn repair(&mut self, policy: Policy, number: u64) {
        for finding in self.findings() {
            match policy.repair(&finding) {
                Repair::None => {}
                Repair::Send(facets) => {
                    if let Some(contact) = &self.contact {
                        self.known.ledger.contact_id = Some(contact.id.clone());
                    }
                    self.send(&facets, number);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn every_drift_is_found_none_is_invented_and_repair_leaves_none(
        drifts in prop::collection::vec(0..Drift::ALL.len(), 1..60),
    ) {
        for (number, place) in (1_u64..).zip(drifts) {
            let drift = Drift::ALL[place];
            let mut model = Model::new(number);
            prop_assert_eq!(model.compared(), Compared::Right);
            model.suffer(drift);
            let classes: Vec<Class> = model.findings().iter().map(|f| f.class).collect();
            prop_assert_eq!(&classes[..], drift.classes(), "{:?}", drift);
            let mut reported = model.clone();
            reported.repair(Policy::Report, number);
            prop_assert_eq!(reported.findings().len(), classes.len());
            let mut owned = model.clone();
            owned.repair(Policy::RepairOwnedOnly, number);
            // Whoever is merged is sent anyway, and with the key goes the name.
            let left = drift == Drift::NameEdited;
            prop_assert_eq!(!owned.findings().is_empty(), left, "{:?}", drift);
            model.repair(Policy::Repair, number);
            prop_assert_eq!(model.findings(), vec![], "{:?}", drift);
        }
    }

    #[test]
    fn a_backfill_sends_exactly_what_was_not_acknowledged(
        holds in prop::collection::vec(any::<(bool, bool, bool)>(), 1..40),
    ) {
        for (number, (contact, identity, learning)) in (1_u64..).zip(holds) {
            let mut model = Model::new(number);
            if !contact {
                model.known.ledger = Ledger::default();
            }
            for (facet, held) in [(Facet::Identity, identity), (Facet::Learning, learning)] {
                if !held {
                    model.known.ledger.facets.remove(&facet);
                }
            }
            let Model { user, state, known, .. } = &model;
            let compared = of_ledger(user, state, known, KeyKind::UserId);
            let wanted: Vec<Facet> = match (contact, identity, learning) {
                (false, _, _) => vec![Facet::Identity],
                (true, identity, learning) => [(Facet::Identity, identity), (Facet::Learning, learning)]
                    .into_iter()
                    .filter(|(_, held)| !held)
                    .map(|(facet, _)| facet)
                    .collect(),
            };
            match compared {
                Compared::Right => prop_assert!(wanted.is_empty()),
                Compared::Differs(findings) => {
                    let facets: Vec<Facet> = findings[0].differences.keys().copied().collect();
                    prop_assert_eq!(facets, wanted);
                    prop_assert_eq!(Policy::Backfill.repair(&findings[0]).as_str(), "send");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn whoever_is_on_the_way_at_the_desk_or_leaving_is_no_finding() {
    let mut model = Model::new(1);
    model.suffer(Drift::NameEdited);
    model.known.busy = true;
    assert_eq!(model.compared(), Compared::InFlight);
    model.known.busy = false;
    let hash = model.state[&Facet::Identity].hash.clone();
    let dead_letter = "dlt_00000000000000000000000000000001".parse().unwrap();
    let refused = Some(Refused { hash, dead_letter });
    let entry = FacetEntry { acknowledged: None, refused };
    model.known.ledger.facets.insert(Facet::Identity, entry);
    assert_eq!(model.compared(), Compared::AtDesk);
    let removal = Removal::new(String::new(), RemovalKind::Erase, None, Timestamp::UNIX_EPOCH);
    model.known.ledger.removal = Some(removal);
    assert_eq!(model.compared(), Compared::Right);
}

fn check(known: &Known, exists: bool, key: KeyKind, expected: Option<Class>) {
    let model = Model::new(1);
    let contact = ContactView { id: "7".to_owned(), ..model.contact.clone().unwrap() };
    let found = match of_contact(&contact, &model.user, known, exists, key) {
        Compared::Differs(findings) => Some(findings[0].class),
        Compared::Right => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(found, expected, "{known:?} {exists} {key:?}");
}

#[test]
fn a_contact_is_a_users_or_it_is_known_why_not() {
    let known = |removal: Option<RemovalKind>, contact: &str| {
        let removal = removal.map(|kind| {
            Removal::new(String::new(), kind, None, Timestamp::UNIX_EPOCH)
                .done(Timestamp::UNIX_EPOCH)
        });
        let contact_id = Some(contact.to_owned());
        Known { ledger: Ledger { contact_id, removal, ..Ledger::default() }, busy: false }
    };
    let (by_id, by_email) = (KeyKind::UserId, KeyKind::Email);
    check(&Known::default(), false, by_id, Some(Class::Foreign));
    check(&Known::default(), true, by_id, None);
    check(&known(Some(RemovalKind::Erase), "7"), false, by_id, Some(Class::Erased));
    check(&known(Some(RemovalKind::Archive), "7"), true, by_id, None);
    check(&known(None, "7"), true, by_email, None);
    check(&known(None, "8"), true, by_id, None);
    check(&known(None, "8"), true, by_email, Some(Class::Duplicate));
    let foreign = of_nobody(&ContactView::default());
    assert_eq!(Policy::RepairOwnedOnly.repair(&foreign), Repair::None);
    assert_eq!(Policy::Repair.repair(&foreign), Repair::Release);
}

#[test]
fn a_merged_contact_is_told_of_what_can_be_sent_and_otherwise_it_is_for_the_desk() {
    let refuse = |model: &mut Model, facets: &[Facet]| {
        for facet in facets {
            let hash = model.state[facet].hash.clone();
            let dead_letter = DeadLetterId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(1));
            let refused = Some(Refused { hash, dead_letter });
            let entry = FacetEntry { refused, ..FacetEntry::default() };
            model.known.ledger.facets.insert(*facet, entry);
        }
    };
    for (refused, sent) in [
        (&[][..], Some(&Facet::ALL[..])),
        (&[Facet::Identity], Some(&[Facet::Learning])),
        (&Facet::ALL, None),
    ] {
        let mut model = Model::new(1);
        model.suffer(Drift::Merged);
        refuse(&mut model, refused);
        let Some(sent) = sent else {
            assert_eq!(model.compared(), Compared::AtDesk);
            continue;
        };
        assert_eq!(Policy::Repair.repair(&model.findings()[0]), Repair::Send(sent.to_vec()));
        // Without a contact that we know nothing goes before the identity.
        model.known.ledger.contact_id = None;
        let is_refused = refused.contains(&Facet::Identity);
        assert_eq!(model.compared() == Compared::AtDesk, is_refused, "{refused:?}");
    }
}
