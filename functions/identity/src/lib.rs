//! The identity context: signing in at an OpenID Connect provider, what a user pool asks of us on the
//! way, sessions, who is signed in, profiles, leaving, and the mail that all of it needs.

use rollcall_runtime::Function;

mod account;
mod admin_account;
pub mod admin_user_erase;
pub mod admin_user_export;
pub mod admin_user_get;
pub mod admin_user_list;
pub mod admin_user_merge;
pub mod admin_user_update;
mod admin_user_view;
mod answer;
mod archive;
pub mod auth_callback;
pub mod auth_claim;
pub mod auth_csrf;
pub mod auth_login;
pub mod auth_logout;
pub mod auth_logout_page;
pub mod auth_me;
pub mod auth_refresh;
pub mod auth_session_end;
pub mod auth_session_list;
pub mod auth_signup;
pub mod cognito_post_confirmation;
pub mod cognito_pre_token;
mod departure;
pub mod invitation_create;
pub mod invitation_list;
mod invitation_view;
pub mod invitation_withdraw;
mod leaving;
pub mod mail_send;
mod page;
mod pool;
pub mod portfolio_create;
pub mod portfolio_delete;
pub mod portfolio_list;
pub mod portfolio_public;
pub mod portfolio_update;
mod portfolio_view;
mod provider;
mod renewal;
pub mod session_refresh;
pub mod settings;
pub mod site;
mod upstream;
pub mod user_connect;
pub mod user_connection_list;
pub mod user_delete;
pub mod user_disconnect;
pub mod user_erase;
pub mod user_export;
pub mod user_get;
pub mod user_merge;
pub mod user_public;
pub mod user_restore;
pub mod user_search;
pub mod user_sweep;
pub mod user_update;
mod user_view;
mod welcome;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &admin_user_erase::FUNCTION,
    &admin_user_export::FUNCTION,
    &admin_user_get::FUNCTION,
    &admin_user_list::FUNCTION,
    &admin_user_merge::FUNCTION,
    &admin_user_update::FUNCTION,
    &auth_callback::FUNCTION,
    &auth_claim::FUNCTION,
    &auth_csrf::FUNCTION,
    &auth_login::FUNCTION,
    &auth_logout::FUNCTION,
    &auth_logout_page::FUNCTION,
    &auth_me::FUNCTION,
    &auth_refresh::FUNCTION,
    &auth_session_end::FUNCTION,
    &auth_session_list::FUNCTION,
    &auth_signup::FUNCTION,
    &cognito_post_confirmation::FUNCTION,
    &cognito_pre_token::FUNCTION,
    &invitation_create::FUNCTION,
    &invitation_list::FUNCTION,
    &invitation_withdraw::FUNCTION,
    &mail_send::FUNCTION,
    &portfolio_create::FUNCTION,
    &portfolio_delete::FUNCTION,
    &portfolio_list::FUNCTION,
    &portfolio_public::FUNCTION,
    &portfolio_update::FUNCTION,
    &session_refresh::FUNCTION,
    &user_connect::FUNCTION,
    &user_connection_list::FUNCTION,
    &user_delete::FUNCTION,
    &user_disconnect::FUNCTION,
    &user_erase::FUNCTION,
    &user_export::FUNCTION,
    &user_get::FUNCTION,
    &user_merge::FUNCTION,
    &user_public::FUNCTION,
    &user_restore::FUNCTION,
    &user_search::FUNCTION,
    &user_sweep::FUNCTION,
    &user_update::FUNCTION,
];
