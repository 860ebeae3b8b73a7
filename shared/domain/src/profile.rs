//! Profiles: what users say about themselves, who may see it, and how a change of it is checked.

mod facts;
mod patch;
mod visibility;

use std::collections::BTreeMap;

use jiff::civil::Date;

pub use self::facts::{Contacts, Physical, age};
pub(crate) use self::patch::https_url;
pub use self::patch::{
    Change, ContactsPatch, Edit, FieldRefusal, Patch, PhysicalPatch, ProfileError,
};
pub use self::visibility::{Audience, Field, UnknownField, Visibility};
use crate::username::Username;

/// What users say about themselves, beside their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// A text in the user's words, as given; may be empty.
    pub about: String,
    /// Where the picture is, by https.
    pub avatar_url: Option<String>,
    /// Categories, in the user's order.
    pub categories: Vec<String>,
    /// Skills, in the user's order.
    pub skills: Vec<String>,
    /// Languages, in the user's order.
    pub languages: Vec<String>,
    /// When the user was born; shown to nobody but them.
    pub birth_date: Option<Date>,
    /// What the user looks like.
    pub physical: Physical,
    /// How to reach the user.
    pub contacts: Contacts,
    /// Who sees what, where the user chose otherwise than the default.
    pub visibility: BTreeMap<Field, Visibility>,
}

impl Profile {
    /// Who may see a field, as the user chose.
    pub fn visibility(&self, field: Field) -> Visibility {
        self.visibility.get(&field).copied().unwrap_or(field.default_visibility())
    }

    /// Whether an audience sees a field: it must see the profile, too.
    pub fn shows(&self, field: Field, audience: Audience) -> bool {
        let narrowest = self.visibility(field).min(self.visibility(Field::Profile));
        audience.sees(narrowest)
    }
}

/// What others see of a profile. What they may not see looks like what is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicProfile {
    /// The name by which it is found.
    pub username: Username,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// What the user writes about themselves.
    pub about: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Skills.
    pub skills: Vec<String>,
    /// Languages.
    pub languages: Vec<String>,
    /// Age in full years.
    pub age: Option<u16>,
    /// What the user looks like.
    pub physical: Physical,
    /// How to reach the user.
    pub contacts: Contacts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_seen_by_more_than_the_profile_and_the_field_allow() {
        use Visibility::{Members, Private, Public};
        for field in Field::ALL.into_iter().filter(|field| *field != Field::Profile) {
            for (whole, own, member, anybody) in [
                (Public, Public, true, true),
                (Public, Members, true, false),
                (Public, Private, false, false),
                (Members, Public, true, false),
                (Members, Members, true, false),
                (Members, Private, false, false),
                (Private, Public, false, false),
                (Private, Members, false, false),
                (Private, Private, false, false),
            ] {
                let visibility = BTreeMap::from([(Field::Profile, whole), (field, own)]);
                let profile = Profile { visibility, ..Profile::default() };
                assert_eq!(profile.shows(field, Audience::Member), member, "{field:?} {whole:?}");
                assert_eq!(profile.shows(field, Audience::Anybody), anybody, "{field:?} {whole:?}");
            }
            assert!(!Profile::default().shows(field, Audience::Anybody));
            let open = !matches!(field, Field::Age | Field::Phone);
            assert_eq!(Profile::default().shows(field, Audience::Member), open, "{field:?}");
        }
        assert!(Profile::default().shows(Field::Profile, Audience::Anybody));
    }
}
