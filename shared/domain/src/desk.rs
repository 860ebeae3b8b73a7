//! What an administrator may change about a user, and what follows from it.

use crate::audit::Action;
use crate::id::UserId;
use crate::role::Role;
use crate::standing::StandingRefusal;
use crate::time::Timestamp;
use crate::user::{Plan, User, sorted};

/// What an administrator wants to be so; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskEdit {
    /// The granted roles, all of them.
    pub granted_roles: Option<Vec<Role>>,
    /// Whether the account is suspended.
    pub suspended: Option<bool>,
    /// What the user pays for.
    pub plan: Option<Plan>,
    /// Whether the organisation vouches for who the user is.
    pub verified: Option<bool>,
}

/// A user whom an administrator changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administered {
    /// The user.
    pub user: User,
    /// What was done, one entry of the audit log each; none when everything was so already.
    pub actions: Vec<Action>,
    /// Whether the user may do something else than before, so that no session may go on.
    pub rights_changed: bool,
}

/// Why an administrator does not get their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskRefusal {
    /// Nobody locks themselves out: the last administrator would lock everybody out.
    #[error("nobody suspends themselves or takes their own roles away")]
    Oneself,
    /// The account does not come to stand as wanted.
    #[error(transparent)]
    Standing(#[from] StandingRefusal),
}

impl User {
    /// The user as the administrator `by` wants them.
    pub fn administer(
        &self,
        by: &UserId,
        edit: &DeskEdit,
        now: Timestamp,
    ) -> Result<Administered, DeskRefusal> {
        let mut user = self.clone();
        let mut actions = Vec::new();
        if let Some(roles) = edit.granted_roles.clone().map(sorted)
            && roles != user.granted_roles
        {
            user.granted_roles.clone_from(&roles);
            actions.push(Action::RolesGranted { roles });
        }
        if let Some(suspended) = edit.suspended
            && suspended != user.standing.is_suspended()
        {
            user.standing =
                if suspended { user.standing.suspend(now)? } else { user.standing.reinstate()? };
            actions.push(if suspended { Action::UserSuspended } else { Action::UserReinstated });
        }
        if let Some(plan) = edit.plan
            && plan != user.plan
        {
            user.plan = plan;
            actions.push(Action::PlanChanged { plan });
        }
        if let Some(verified) = edit.verified
            && verified != user.verified
        {
            user.verified = verified;
            actions.push(Action::VerificationChanged { verified });
        }
        let roles = user.roles();
        let loses_a_role = self.roles().iter().any(|role| !roles.contains(role));
        if *by == self.id && (loses_a_role || user.standing.is_suspended()) {
            return Err(DeskRefusal::Oneself);
        }
        if !actions.is_empty() {
            user.version += 1;
            user.desk_version += 1;
        }
        let suspended = user.standing.is_suspended() && !self.standing.is_suspended();
        Ok(Administered { rights_changed: suspended || roles != self.roles(), user, actions })
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::random::SeededRandom;
    use crate::user::Identity;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(provider_roles: &[Role]) -> User {
        let identity = Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: None,
            email_verified: false,
            given_name: String::new(),
            family_name: String::new(),
            roles: provider_roles.to_vec(),
        };
        User::join(identity, None, at(0), &SeededRandom::new(1)).unwrap().user
    }

    fn somebody_else() -> UserId {
        UserId::new(at(0), &SeededRandom::new(2))
    }

    #[test]
    fn nobody_suspends_or_demotes_themselves() {
        let granted_roles = vec![Role::Instructor];
        let admin = User { granted_roles, ..user(&[Role::Admin]) };
        let none = DeskEdit::default;
        let roles = |roles: &[Role]| DeskEdit { granted_roles: Some(roles.to_vec()), ..none() };
        for (edit, refused) in [
            (DeskEdit { suspended: Some(true), ..none() }, true),
            (roles(&[]), true),
            (roles(&[Role::Admin]), true),
            (roles(&[Role::Instructor, Role::Admin]), false),
            (roles(&[Role::Instructor, Role::Recruiter]), false),
            (DeskEdit { plan: Some(Plan::Plus), ..none() }, false),
            (DeskEdit { suspended: Some(false), ..none() }, false),
        ] {
            let result = admin.administer(&admin.id, &edit, at(1));
            assert_eq!(result == Err(DeskRefusal::Oneself), refused, "{edit:?}");
            assert!(admin.administer(&somebody_else(), &edit, at(1)).is_ok(), "{edit:?}");
        }
    }

    #[test]
    fn a_suspension_by_an_administrator_keeps_the_erasure_that_was_asked_for() {
        let leaving = user(&[]).leave(at(0)).unwrap();
        let by = somebody_else();
        let edit = |suspended| DeskEdit { suspended: Some(suspended), ..DeskEdit::default() };
        let suspended = leaving.administer(&by, &edit(true), at(1)).unwrap().user;
        assert_eq!(suspended.standing.erase_at(), leaving.standing.erase_at());
        let back = suspended.administer(&by, &edit(false), at(2)).unwrap();
        assert_eq!(back.user.standing, leaving.standing);
        assert_eq!((back.actions, back.rights_changed), (vec![Action::UserReinstated], false));
    }

    prop_compose! {
        fn edits()(
            granted_roles in option::of(
                subsequence(vec![Role::Admin, Role::Instructor, Role::Recruiter], 0..=3).prop_shuffle(),
            ),
            suspended in option::of(any::<bool>()),
            plan in option::of(prop_oneof![Just(Plan::Free), Just(Plan::Plus)]),
            verified in option::of(any::<bool>()),
        ) -> DeskEdit {
            DeskEdit { granted_roles, suspended, plan, verified }
        }
    }

    proptest! {
        #[test]
        fn what_was_wanted_is_so_and_to_want_it_again_changes_nothing(
            first in edits(), second in edits(),
        ) {
            let by = somebody_else();
            let before = user(&[Role::Recruiter]).administer(&by, &first, at(1)).unwrap().user;
            let Administered { user, actions, rights_changed } = before.administer(&by, &second, at(2)).unwrap();
            prop_assert_eq!(second.plan.unwrap_or(before.plan), user.plan);
            prop_assert_eq!(second.verified.unwrap_or(before.verified), user.verified);
            let suspended = second.suspended.unwrap_or(before.standing.is_suspended());
            prop_assert_eq!(suspended, user.standing.is_suspended());
            let granted = second.granted_roles.clone().map(sorted);
            prop_assert_eq!(granted.as_ref().unwrap_or(&before.granted_roles), &user.granted_roles);
            prop_assert!(user.roles().contains(&Role::Recruiter), "the provider's part stays");
            prop_assert_eq!(actions.is_empty(), user == before);
            prop_assert!(rights_changed || user.roles() == before.roles());
            let changed = u64::from(!actions.is_empty());
            let versions = (user.version - before.version, user.desk_version - before.desk_version);
            prop_assert_eq!(versions, (changed, changed));
            prop_assert_eq!(user.profile_version, before.profile_version);
            let again = user.administer(&by, &second, at(3)).unwrap();
            let expected = Administered { user, actions: Vec::new(), rights_changed: false };
            prop_assert_eq!(again, expected);
        }
    }
}
