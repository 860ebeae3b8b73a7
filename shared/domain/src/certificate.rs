//! Certificates: what somebody has completed, vouched for by the organisation and shown to others.
//!
//! Which ones somebody has earned follows from what is recorded of them, and from nothing else, so
//! whoever awards may do so late, twice, or in any order. A certificate says what was learned by the
//! version of the catalogue that it was learned by: no later change of the catalogue touches it.

use std::collections::BTreeSet;
use std::fmt;

use crate::catalog::{Catalog, CatalogVersion};
use crate::enrollment::TargetKind;
use crate::id::CertificateId;
use crate::learning::Learner;
use crate::progress::ModuleCompletion;
use crate::random::Random;
use crate::slug::Slug;
use crate::time::Timestamp;
use crate::user::User;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateKind {
    /// A module with required tasks.
    Module,
    /// A course.
    Course,
    /// A pathway.
    Pathway,
}

impl CertificateKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Module, Self::Course, Self::Pathway];

    /// The name in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Course => "course",
            Self::Pathway => "pathway",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a certificate is for, by which it is told apart from the others of one person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName {
    /// Module, course or pathway.
    pub kind: CertificateKind,
    /// Which one.
    pub slug: Slug,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.slug)
    }
}

/// What somebody has earned a certificate for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earned {
    /// For what.
    pub name: CertificateName,
    /// By which version of the catalogue.
    pub catalog: CatalogVersion,
    /// The modules that were complete; of a module, the tasks that were done.
    pub evidence: Vec<Slug>,
    /// When.
    pub earned_at: Timestamp,
}

/// The place of a certificate in a status list, by which others learn that it is revoked without
/// telling us which one they ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusPlace {
    /// Which list; the first is 1.
    pub list: u32,
    /// Which bit.
    pub index: u32,
}

impl StatusPlace {
    /// Bits of a list: as many as the Bitstring Status List asks for at least (§2.2, 16 KB).
    pub const BITS: u32 = 131_072;

    /// A place in a list that nobody can guess.
    pub fn draw(list: u32, random: &dyn Random) -> Self {
        let mut bytes = [0_u8; 4];
        random.fill(&mut bytes);
        Self { list, index: u32::from_le_bytes(bytes) % Self::BITS }
    }
}

/// The holder's name, as it was when they first wanted it shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderName {
    /// The name. It never changes, so that a certificate cannot become somebody else's.
    pub text: String,
    /// Whether it is shown: the holder's consent, which they may take back.
    pub is_shown: bool,
}

/// Why and since when a certificate counts no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Since when.
    pub at: Timestamp,
    /// Why, for the people who decide about certificates.
    pub reason: String,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The id, under which it is public.
    pub id: CertificateId,
    /// What was earned.
    pub earned: Earned,
    /// What it is called, by that version of the catalogue.
    pub title: String,
    /// What it is about, by that version of the catalogue.
    pub summary: String,
    /// When it was awarded.
    pub awarded_at: Timestamp,
    /// Its place in a status list.
    pub place: StatusPlace,
    /// Whose it is, if they ever wanted that shown.
    pub holder: Option<HolderName>,
    /// That it counts no more.
    pub revocation: Option<Revocation>,
    /// Counts its writes.
    pub version: u64,
}

impl Certificate {
    /// The certificate for what was earned; `catalogs` are asked in turn what it is called.
    pub fn award(
        earned: Earned,
        catalogs: [&Catalog; 2],
        place: StatusPlace,
        now: Timestamp,
        random: &dyn Random,
    ) -> Self {
        let texts = catalogs.into_iter().find_map(|catalog| texts(catalog, &earned.name));
        let slug = || (earned.name.slug.to_string(), String::new());
        let (title, summary) = texts.unwrap_or_else(slug);
        Self {
            id: CertificateId::new(now, random),
            earned,
            title,
            summary,
            awarded_at: now,
            place,
            holder: None,
            revocation: None,
            version: 1,
        }
    }

    /// The name that others see.
    pub fn shown_name(&self) -> Option<&str> {
        self.holder.as_ref().filter(|holder| holder.is_shown).map(|holder| holder.text.as_str())
    }

    /// The certificate with the holder's name shown or hidden; `None` when nothing changes. What is
    /// shown is the name as it is now when it is shown for the first time, and the same ever after.
    pub fn show_name(&self, user: &User, wanted: bool) -> Result<Option<Self>, NamelessHolder> {
        if self.shown_name().is_some() == wanted {
            return Ok(None);
        }
        let text = match &self.holder {
            Some(holder) => holder.text.clone(),
            None => full_name(user).ok_or(NamelessHolder)?,
        };
        let holder = Some(HolderName { text, is_shown: wanted });
        Ok(Some(Self { holder, version: self.version + 1, ..self.clone() }))
    }

    /// The certificate, revoked; `None` when it is revoked already. There is no way back: what others
    /// have read of a status list cannot be taken back either.
    pub fn revoke(&self, reason: &str, now: Timestamp) -> Option<Self> {
        let revocation = Revocation { at: now, reason: reason.to_owned() };
        self.revocation.is_none().then(|| Self {
            revocation: Some(revocation),
            version: self.version + 1,
            ..self.clone()
        })
    }
}

/// The account has no name that could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account has no name")]
pub struct NamelessHolder;

fn full_name(user: &User) -> Option<String> {
    let parts = [user.given_name.trim(), user.family_name.trim()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn texts(catalog: &Catalog, name: &CertificateName) -> Option<(String, String)> {
    let slug = &name.slug;
    match name.kind {
        CertificateKind::Module => {
            catalog.module(slug).map(|entry| (entry.title.clone(), entry.summary.clone()))
        }
        CertificateKind::Course => {
            catalog.course(slug).map(|entry| (entry.title.clone(), entry.summary.clone()))
        }
        CertificateKind::Pathway => {
            catalog.pathway(slug).map(|entry| (entry.title.clone(), entry.summary.clone()))
        }
    }
}

/// Everything that a learner has earned a certificate for, by name: each course and pathway that is
/// recorded as complete, and each module that was completed by its tasks (faults C1 and C3: courses
/// could not be certified, pathways never were). A module that its reader just calls read is none, and
/// what was completed elsewhere is certified by nobody here: we have seen no evidence of it.
pub fn earned(learner: &Learner) -> Vec<Earned> {
    let modules = learner.modules.iter().filter_map(|(slug, progress)| {
        let completion = progress.completion.as_ref().filter(|done| is_evident(done))?;
        Some(Earned {
            name: CertificateName { kind: CertificateKind::Module, slug: slug.clone() },
            catalog: completion.version.clone(),
            evidence: completion.tasks.clone(),
            earned_at: completion.completed_at,
        })
    });
    let own = learner.completions.values().filter(|done| !done.version.is_elsewhere());
    let made_here = |slug: &Slug| {
        let completion = learner.modules.get(slug).and_then(|module| module.completion.as_ref());
        completion.is_none_or(|done| !done.version.is_elsewhere())
    };
    let wholes = own.map(|completion| {
        let kind = match completion.target.kind {
            TargetKind::Course => CertificateKind::Course,
            TargetKind::Pathway => CertificateKind::Pathway,
        };
        Earned {
            name: CertificateName { kind, slug: completion.target.slug.clone() },
            catalog: completion.version.clone(),
            evidence: completion.modules.iter().filter(|slug| made_here(slug)).cloned().collect(),
            earned_at: completion.completed_at,
        }
    });
    let mut earned: Vec<Earned> = modules.chain(wholes).collect();
    earned.sort_by(|one, other| one.name.cmp(&other.name));
    earned
}

/// Whether there is evidence of ours that a module was completed.
fn is_evident(completion: &ModuleCompletion) -> bool {
    !completion.tasks.is_empty() && !completion.version.is_elsewhere()
}

/// What is earned and not `awarded` yet. What was awarded and revoked is awarded.
pub fn missing(earned: Vec<Earned>, awarded: &BTreeSet<CertificateName>) -> Vec<Earned> {
    earned.into_iter().filter(|earned| !awarded.contains(&earned.name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Course, Module, Task};
    use crate::enrollment::Target;
    use crate::progress::{Completion, ModuleProgress};
    use crate::random::SeededRandom;
    use crate::user::Identity;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn with_module(learner: &mut Learner, name: &str, tasks: &[&str]) {
        let tasks = tasks.iter().copied().map(slug).collect();
        let version = CatalogVersion::default();
        let completion = ModuleCompletion { completed_at: at(3), version, tasks };
        let begun = ModuleProgress::begun(slug(name), at(0));
        let progress = ModuleProgress { completion: Some(completion), ..begun };
        learner.modules.insert(slug(name), progress);
    }

    fn with_completion(learner: &mut Learner, target: Target) {
        let version = CatalogVersion::default();
        let modules = vec![slug("a")];
        let completion =
            Completion { target: target.clone(), version, modules, completed_at: at(4) };
        learner.completions.insert(target, completion);
    }

    fn user() -> User {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: None,
            email_verified: false,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
        };
        User::join(identity, None, at(1), &SeededRandom::new(1)).unwrap().user
    }

    fn names(earned: &[Earned]) -> Vec<String> {
        earned.iter().map(|earned| format!("{} {}", earned.name.kind, earned.name.slug)).collect()
    }

    #[test]
    fn c_01_courses_pathways_and_modules_with_tasks_are_certified_and_nothing_else() {
        let mut learner = Learner::default();
        assert_eq!(earned(&learner), []);
        learner.modules.insert(slug("z"), ModuleProgress::begun(slug("z"), at(0)));
        with_module(&mut learner, "read", &[]);
        assert_eq!(earned(&learner), []);
        with_module(&mut learner, "done", &["quiz", "lab"]);
        with_completion(&mut learner, Target::course(slug("one")));
        with_completion(&mut learner, Target::pathway(slug("one")));
        let earned = earned(&learner);
        assert_eq!(names(&earned), ["module done", "course one", "pathway one"]);
        assert_eq!(earned[0].evidence, [slug("quiz"), slug("lab")]);
        assert_eq!((earned[0].earned_at, earned[1].earned_at), (at(3), at(4)));
    }

    fn certificate(catalogs: [&Catalog; 2]) -> Certificate {
        let mut learner = Learner::default();
        with_completion(&mut learner, Target::course(slug("one")));
        let random = SeededRandom::new(1);
        let place = StatusPlace::draw(1, &random);
        let earned = earned(&learner).remove(0);
        Certificate::award(earned, catalogs, place, at(9), &random)
    }

    #[test]
    fn a_certificate_keeps_the_title_of_the_catalogue_it_was_earned_by() {
        let catalog = |title: &str| {
            let module = Module::new(slug("a"), "A", vec![Task::lab(slug("x"))]);
            let course = Course::new(slug("one"), title, vec![slug("a")]);
            Catalog::new(Vec::new(), vec![course], vec![module]).unwrap()
        };
        let (then, now, none) = (catalog("Then"), catalog("Now"), Catalog::default());
        assert_eq!(certificate([&then, &now]).title, "Then");
        assert_eq!(certificate([&none, &now]).title, "Now");
        assert_eq!(certificate([&none, &none]).title, "one");
    }

    #[test]
    fn c_04_the_name_is_shown_by_consent_and_is_the_first_one_for_ever() {
        let none = Catalog::default();
        let mut holder = user();
        (holder.given_name, holder.family_name) = ("Ada".to_owned(), " Lovelace ".to_owned());
        let new = certificate([&none, &none]);
        assert_eq!(new.shown_name(), None);
        assert_eq!(new.show_name(&holder, false), Ok(None));
        let shown = new.show_name(&holder, true).unwrap().unwrap();
        assert_eq!((shown.shown_name(), shown.version), (Some("Ada Lovelace"), 2));
        assert_eq!(shown.show_name(&holder, true), Ok(None));
        let hidden = shown.show_name(&holder, false).unwrap().unwrap();
        assert_eq!(hidden.shown_name(), None);
        holder.given_name = "Eve".to_owned();
        let again = hidden.show_name(&holder, true).unwrap().unwrap();
        assert_eq!(again.shown_name(), Some("Ada Lovelace"));
        (holder.given_name, holder.family_name) = (String::new(), " ".to_owned());
        assert_eq!(new.show_name(&holder, true), Err(NamelessHolder));
    }

    #[test]
    fn what_is_revoked_stays_so() {
        let none = Catalog::default();
        let revoked = certificate([&none, &none]).revoke("copied", at(20)).unwrap();
        assert_eq!(revoked.revocation.as_ref().map(|revocation| revocation.at), Some(at(20)));
        assert_eq!(revoked.revoke("again", at(30)), None);
    }

    proptest! {
        /// However the facts come, and however often somebody looks, each is certified once.
        #[test]
        fn c_07_each_is_awarded_once_whenever_somebody_looks(
            order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
            looks in prop::collection::vec(any::<bool>(), 4),
        ) {
            let (mut learner, mut awarded) = (Learner::default(), BTreeSet::new());
            for (fact, look) in order.into_iter().zip(looks) {
                match fact {
                    0 => with_module(&mut learner, "a", &["x"]),
                    1 => with_module(&mut learner, "b", &["x"]),
                    2 => with_completion(&mut learner, Target::course(slug("a"))),
                    _ => with_completion(&mut learner, Target::pathway(slug("a"))),
                }
                if look {
                    for new in missing(earned(&learner), &awarded) {
                        prop_assert!(awarded.insert(new.name));
                    }
                }
            }
            awarded.extend(missing(earned(&learner), &awarded).into_iter().map(|new| new.name));
            prop_assert_eq!(awarded.len(), 4);
            prop_assert_eq!(missing(earned(&learner), &awarded), vec![]);
        }

        #[test]
        fn a_place_is_one_of_the_list(seed in any::<u64>()) {
            let place = StatusPlace::draw(7, &SeededRandom::new(seed));
            prop_assert!(place.list == 7 && place.index < StatusPlace::BITS);
        }
    }
}
