//! What the groups of a token show to whoever reads it: the provider's own, and the roles that an
//! administrator granted here.

use crate::role::Role;
use crate::user::User;

/// The groups of `user`'s tokens, given the provider's own; `None` when those are right as they are.
///
/// The provider's come first and in its order. Whoever is suspended has none that is a role of ours.
pub fn shown(user: &User, provider_groups: &[String]) -> Option<Vec<String>> {
    let is_role = |group: &String| group.parse::<Role>().is_ok();
    let groups: Vec<String> = if user.standing.is_suspended() {
        provider_groups.iter().filter(|group| !is_role(group)).cloned().collect()
    } else {
        let granted = user.granted_roles.iter().map(|role| role.as_str().to_owned());
        let more = granted.filter(|role| !provider_groups.contains(role));
        provider_groups.iter().cloned().chain(more).collect()
    };
    (groups != provider_groups).then_some(groups)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;
    use crate::time::Timestamp;
    use crate::user::Identity;

    const NAMES: [&str; 5] = ["admin", "instructor", "recruiter", "staff", "Admin"];
    const ROLES: [Role; 3] = [Role::Admin, Role::Instructor, Role::Recruiter];

    fn user(granted_roles: Vec<Role>, suspended: bool) -> User {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: None,
            email_verified: false,
            given_name: String::new(),
            family_name: String::new(),
            // From an earlier sign-in: what a token shows follows the provider of today.
            roles: ROLES.to_vec(),
        };
        let joined = User::join(identity, None, Timestamp::UNIX_EPOCH, &SeededRandom::new(1));
        let user = User { granted_roles, ..joined.unwrap().user };
        if suspended { user.suspend(Timestamp::UNIX_EPOCH).unwrap() } else { user }
    }

    proptest! {
        #[test]
        fn tokens_show_what_the_provider_says_and_what_was_granted_and_nothing_else(
            provider in proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()),
            granted in proptest::sample::subsequence(ROLES.to_vec(), 0..=ROLES.len()),
            suspended: bool,
        ) {
            let provider: Vec<String> = provider.into_iter().map(ToOwned::to_owned).collect();
            let changed = shown(&user(granted.clone(), suspended), &provider);
            prop_assert_ne!(changed.as_ref(), Some(&provider));
            let groups = changed.unwrap_or_else(|| provider.clone());
            for name in NAMES {
                let told = provider.iter().any(|group| group == name);
                let role = name.parse::<Role>().ok();
                let expected = match role {
                    Some(role) => !suspended && (told || granted.contains(&role)),
                    None => told,
                };
                let count = groups.iter().filter(|group| *group == name).count();
                prop_assert_eq!(count, usize::from(expected), "{} in {:?}", name, groups);
            }
        }
    }
}
