//! Who sees what of a profile.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who may see something; the order is from the fewest to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The user alone.
    Private,
    /// Everybody who is signed in.
    Members,
    /// Everybody.
    Public,
}

impl Visibility {
    /// Every visibility.
    pub const ALL: [Self; 3] = [Self::Private, Self::Members, Self::Public];

    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Members => "members",
            Self::Public => "public",
        }
    }
}

/// Who looks at a profile that is not their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anybody, signed in or not.
    Anybody,
    /// Somebody who is signed in.
    Member,
}

impl Audience {
    /// Whether the audience may see what has this visibility.
    pub fn sees(self, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Private => false,
            Visibility::Members => self == Self::Member,
            Visibility::Public => true,
        }
    }
}

/// Something in a profile that has a visibility of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Field {
    /// That there is a profile at all; nothing in it is seen by more people than it is.
    Profile,
    /// Given name.
    GivenName,
    /// Family name.
    FamilyName,
    /// What users write about themselves.
    About,
    /// The picture.
    AvatarUrl,
    /// Categories.
    Categories,
    /// Skills.
    Skills,
    /// Languages.
    Languages,
    /// The age, which is derived from the date of birth.
    Age,
    /// Height.
    HeightCm,
    /// Colour of the hair.
    HairColour,
    /// Colour of the eyes.
    EyeColour,
    /// Telephone number.
    Phone,
    /// A page of the user's elsewhere.
    Website,
    /// Where the user lives or works.
    City,
    /// The country.
    Country,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 16] = [
        Self::Profile,
        Self::GivenName,
        Self::FamilyName,
        Self::About,
        Self::AvatarUrl,
        Self::Categories,
        Self::Skills,
        Self::Languages,
        Self::Age,
        Self::HeightCm,
        Self::HairColour,
        Self::EyeColour,
        Self::Phone,
        Self::Website,
        Self::City,
        Self::Country,
    ];

    /// The name in tables, requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::About => "about",
            Self::AvatarUrl => "avatar_url",
            Self::Categories => "categories",
            Self::Skills => "skills",
            Self::Languages => "languages",
            Self::Age => "age",
            Self::HeightCm => "height_cm",
            Self::HairColour => "hair_colour",
            Self::EyeColour => "eye_colour",
            Self::Phone => "phone",
            Self::Website => "website",
            Self::City => "city",
            Self::Country => "country",
        }
    }

    /// Who sees it unless the user says otherwise: a profile can be found by its name, what is in it
    /// stays among members until its user opens it (GDPR article 25 (2)), and how old somebody is and
    /// where they can be rung up is nobody's business.
    pub const fn default_visibility(self) -> Visibility {
        match self {
            Self::Profile => Visibility::Public,
            Self::GivenName
            | Self::FamilyName
            | Self::About
            | Self::AvatarUrl
            | Self::Categories
            | Self::Skills
            | Self::Languages
            | Self::HeightCm
            | Self::HairColour
            | Self::EyeColour
            | Self::Website
            | Self::City
            | Self::Country => Visibility::Members,
            Self::Age | Self::Phone => Visibility::Private,
        }
    }
}

/// A text that names nothing in a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no field with a visibility")]
pub struct UnknownField;

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        Self::ALL.into_iter().find(|field| field.as_str() == text).ok_or(UnknownField)
    }
}

impl TryFrom<String> for Field {
    type Error = UnknownField;

    fn try_from(text: String) -> Result<Self, UnknownField> {
        text.parse()
    }
}

impl From<Field> for String {
    fn from(field: Field) -> String {
        field.as_str().to_owned()
    }
}
