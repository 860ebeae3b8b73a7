#![cfg(test)]
//! Whole-system tests: over HTTP, as a client would, through sign-in, on a private local cloud each.

mod access;
mod anonymous;
mod audit;
mod badges;
mod bearer;
mod cache;
mod callback;
mod canary;
mod catalogue;
mod certificates;
mod claim;
mod cognito;
mod connections;
mod contact_erasure;
mod credentials;
mod crowd;
mod csrf;
mod dead_letters;
mod dead_messages;
mod desk;
mod dev;
mod disaster;
mod edge;
mod erasure;
mod events;
mod feed;
mod first_path;
mod flags;
mod grading;
mod idempotency;
mod imports;
mod inbound;
mod invitations;
mod labs;
mod learning_faults;
mod limits;
mod linking;
mod mail;
mod merge;
mod migrating;
mod milestones;
mod oauth;
mod operating;
mod opt_out;
mod outage;
mod peer;
mod people;
mod portal;
mod portfolio;
mod profile;
mod provider_trouble;
mod published;
mod quizzes;
mod reconcile;
mod recovery;
mod rotation;
mod schema;
mod search;
mod sessions;
mod sign_in;
mod tidy;
mod validator;
mod visible;
mod watching;
mod wire;

use rollcall_tests::World;

/// The program that holds every function, as fresh as these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_rollcall-under-test");

/// A private local cloud with the sample data.
async fn world() -> World {
    World::start(PROGRAM).await
}
