//! The catalogue: pathways made of courses, courses made of modules.

use std::collections::BTreeMap;

use crate::slug::Slug;

/// A series of courses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pathway {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// Its courses, in order.
    pub courses: Vec<Slug>,
}

/// A series of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// Its modules, in order.
    pub modules: Vec<Slug>,
}

/// What is learned in one sitting. A module may be part of several courses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name in URLs and records.
    pub slug: Slug,
    /// Its name for people.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// How long it takes, in minutes.
    pub estimated_minutes: u32,
}

/// The published catalogue. Every reference in it leads somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    pathways: BTreeMap<Slug, Pathway>,
    courses: BTreeMap<Slug, Course>,
    modules: BTreeMap<Slug, Module>,
}

/// Why entries do not make a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two entries of one kind share a slug.
    #[error("{kind} {slug} is defined twice")]
    Duplicate {
        /// `pathway`, `course` or `module`.
        kind: &'static str,
        /// The slug.
        slug: Slug,
    },
    /// An entry names another that does not exist (fault D17).
    #[error("{from} names {to}, which does not exist")]
    Dangling {
        /// The entry.
        from: Slug,
        /// What it names.
        to: Slug,
    },
}

impl Catalog {
    /// A catalogue of these entries, if every reference leads to one of them.
    pub fn new(
        pathways: Vec<Pathway>,
        courses: Vec<Course>,
        modules: Vec<Module>,
    ) -> Result<Self, CatalogError> {
        let catalog = Self {
            pathways: unique("pathway", pathways, |entry| &entry.slug)?,
            courses: unique("course", courses, |entry| &entry.slug)?,
            modules: unique("module", modules, |entry| &entry.slug)?,
        };
        for course in catalog.courses.values() {
            references(&course.slug, &course.modules, &catalog.modules)?;
        }
        for pathway in catalog.pathways.values() {
            references(&pathway.slug, &pathway.courses, &catalog.courses)?;
        }
        Ok(catalog)
    }

    /// One pathway.
    pub fn pathway(&self, slug: &Slug) -> Option<&Pathway> {
        self.pathways.get(slug)
    }

    /// One course.
    pub fn course(&self, slug: &Slug) -> Option<&Course> {
        self.courses.get(slug)
    }

    /// One module.
    pub fn module(&self, slug: &Slug) -> Option<&Module> {
        self.modules.get(slug)
    }

    /// All pathways, by slug.
    pub fn pathways(&self) -> impl Iterator<Item = &Pathway> {
        self.pathways.values()
    }

    /// All courses, by slug.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.courses.values()
    }

    /// All modules, by slug.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }
}

fn unique<T>(
    kind: &'static str,
    entries: Vec<T>,
    slug: impl Fn(&T) -> &Slug,
) -> Result<BTreeMap<Slug, T>, CatalogError> {
    let mut by_slug = BTreeMap::new();
    for entry in entries {
        let key = slug(&entry).clone();
        if by_slug.insert(key.clone(), entry).is_some() {
            return Err(CatalogError::Duplicate { kind, slug: key });
        }
    }
    Ok(by_slug)
}

fn references<T>(from: &Slug, to: &[Slug], known: &BTreeMap<Slug, T>) -> Result<(), CatalogError> {
    match to.iter().find(|slug| !known.contains_key(*slug)) {
        Some(missing) => Err(CatalogError::Dangling { from: from.clone(), to: missing.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_17_a_reference_that_leads_nowhere_is_refused() {
        let course = Course {
            slug: "streams".parse().unwrap(),
            title: "Streams".to_owned(),
            summary: String::new(),
            modules: vec!["missing".parse().unwrap()],
        };
        let dangling = CatalogError::Dangling {
            from: "streams".parse().unwrap(),
            to: "missing".parse().unwrap(),
        };
        assert_eq!(Catalog::new(Vec::new(), vec![course.clone()], Vec::new()), Err(dangling));
        let twice = vec![course.clone(), course];
        assert!(matches!(
            Catalog::new(Vec::new(), twice, Vec::new()),
            Err(CatalogError::Duplicate { kind: "course", .. })
        ));
    }
}
