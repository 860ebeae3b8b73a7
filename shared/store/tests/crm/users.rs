//! Usernames and profiles in the table `users`.

use futures::StreamExt;
use futures::stream;
use rollcall_domain::linking::PendingLink;
use rollcall_domain::profile::{Change, ContactsPatch, Patch, PhysicalPatch};
use rollcall_domain::random::SeededRandom;
use rollcall_domain::time::{Timestamp, after_seconds, date};
use rollcall_domain::user::{AddressChange, AddressTaken, Edited, Identity, SignedIn, User};
use rollcall_domain::username::{Claims, NamingRefusal, Username};
use rollcall_store::users::{IdentityLinker, LinkKeeper, ProfileWriter, UserDirectory, UserReader};
use rollcall_store::{Capability, PortErrorClass, Tables};

use crate::world::World;

const CLAIMANTS: u64 = 1_000;
/// Writes under way at a time. All claimants have decided by what they saw before the first of them.
const AT_A_TIME: usize = 100;
const DAY_SECONDS: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    after_seconds(Timestamp::from_second(1_795_251_600).unwrap(), second)
}

fn user(number: u64) -> User {
    joining(number).user
}

fn identity(number: u64) -> Identity {
    Identity {
        issuer: "https://provider.example".to_owned(),
        subject: number.to_string(),
        email: None,
        email_verified: false,
        given_name: "Ada".to_owned(),
        family_name: "Lovelace".to_owned(),
        roles: Vec::new(),
    }
}

fn joining(number: u64) -> SignedIn {
    User::join(identity(number), None, at(0), &SeededRandom::new(number)).unwrap()
}

fn naming(name: &str) -> Patch {
    Patch { username: Change::Set(name.to_owned()), ..Patch::default() }
}

fn writer(world: &World) -> ProfileWriter {
    let connection = world.acting_as(std::any::type_name::<ProfileWriter>(), ProfileWriter::GRANTS);
    ProfileWriter::new(&Tables::new(&connection, "dev"))
}

/// Reads, decides and stores, as a request does.
async fn edit(
    writer: &ProfileWriter,
    user: &User,
    patch: Patch,
    now: Timestamp,
) -> Result<Edited, NamingRefusal> {
    let edit = patch.check(date(at(0))).unwrap();
    let user = writer.find(&user.id).await.unwrap().unwrap();
    let claims = writer.claims(&user, &edit).await.unwrap();
    let edited = user.edit(&edit, &claims, now)?.expect("something changes");
    writer.store(&edited, "trace").await.unwrap();
    Ok(edited)
}

#[tokio::test(flavor = "multi_thread")]
async fn c_09_a_thousand_who_all_saw_a_name_free_claim_it_at_once_and_one_gets_it() {
    let world = World::start().await;
    let writer = writer(&world);
    let edit = naming("ada").check(date(at(0))).unwrap();
    let claiming = (0..CLAIMANTS).map(|number| {
        let (writer, edit) = (&writer, &edit);
        async move {
            // Version 0 makes the profile's first write the user's.
            let user = User { version: 0, ..user(number) };
            let edited = user.edit(edit, &Claims::default(), at(0)).unwrap().unwrap();
            (edited.user.id.clone(), writer.store(&edited, "trace").await)
        }
    });
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    let stored: Vec<_> = stream::iter(claiming).buffer_unordered(AT_A_TIME).collect().await;
    for (user, stored) in stored {
        match stored {
            Ok(()) => winners.push(user),
            Err(error) => {
                assert_eq!(error.class, PortErrorClass::Conflict, "{error:?}");
                losers.push(user);
            }
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 999));
    let reader = UserReader::new(&world.operator());
    let name: Username = "ada".parse().unwrap();
    let found = reader.find_by_username(&name).await.unwrap();
    assert_eq!(found.map(|user| user.id), winners.first().cloned());
    for loser in losers.iter().take(20) {
        assert_eq!(reader.find(loser).await.unwrap(), None, "nothing is stored by halves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_given_up_is_free_after_thirty_days_and_not_before() {
    let world = World::start().await;
    let (writer, reader) = (writer(&world), UserReader::new(&world.operator()));
    let directory = UserDirectory::new(&world.operator());
    let (ada, eve) = (user(1), user(2));
    for number in [1, 2] {
        directory.join(&joining(number), "trace").await.unwrap();
    }
    edit(&writer, &ada, naming("ada"), at(0)).await.unwrap();
    edit(&writer, &ada, naming("countess"), at(0)).await.unwrap();
    let found = async |name: &str| {
        reader.find_by_username(&name.parse().unwrap()).await.unwrap().map(|user| user.id)
    };
    assert_eq!(found("ada").await, None, "a name that is held finds nobody");
    assert_eq!(found("countess").await, Some(ada.id.clone()));
    for (second, stolen) in [
        (0, Err(NamingRefusal::Taken)),
        (30 * DAY_SECONDS - 1, Err(NamingRefusal::Taken)),
        (30 * DAY_SECONDS, Ok(())),
    ] {
        let taken = edit(&writer, &eve, naming("ada"), at(second)).await;
        assert_eq!(taken.map(|_| ()), stolen, "{second}");
    }
    assert_eq!(found("ada").await, Some(eve.id.clone()));
    let back = edit(&writer, &ada, naming("ada"), at(90 * DAY_SECONDS)).await;
    assert_eq!(back.unwrap_err(), NamingRefusal::Taken, "it is Eve's now");
    world.check_grants_are_used::<ProfileWriter>();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_name_goes_back_to_who_had_it_at_any_time() {
    let world = World::start().await;
    let writer = writer(&world);
    let ada = user(1);
    UserDirectory::new(&world.operator()).join(&joining(1), "trace").await.unwrap();
    for (name, day) in [("ada", 0), ("countess", 0), ("ada", 7), ("countess", 14)] {
        edit(&writer, &ada, naming(name), at(day * DAY_SECONDS)).await.unwrap();
    }
    let soon = edit(&writer, &ada, naming("ada"), at(21 * DAY_SECONDS - 1)).await;
    assert_eq!(soon.unwrap_err(), NamingRefusal::TooSoon { from: at(21 * DAY_SECONDS) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_read_as_it_was_stored_and_the_later_of_two_writers_is_refused() {
    let world = World::start().await;
    let (writer, directory) = (writer(&world), UserDirectory::new(&world.operator()));
    let ada = user(1);
    directory.join(&joining(1), "trace").await.unwrap();
    let list = |entry: &str| Change::Set(vec![entry.to_owned()]);
    let visibility = [("about", "public"), ("skills", "private")];
    let visibility = visibility.map(|(field, who)| (field.to_owned(), Some(who.to_owned())));
    let patch = Patch {
        username: Change::Set("ada".to_owned()),
        given_name: Change::Set("Augusta".to_owned()),
        family_name: Change::Remove,
        about: Change::Set("Poet".to_owned()),
        avatar_url: Change::Set("https://a.example/ada.png".to_owned()),
        categories: list("Science"),
        skills: list("Analysis"),
        languages: list("English"),
        birth_date: Change::Set("1990-01-31".to_owned()),
        physical: Change::Set(PhysicalPatch {
            height_cm: Change::Set(187),
            ..PhysicalPatch::default()
        }),
        contacts: Change::Set(ContactsPatch {
            country: Change::Set("DE".to_owned()),
            ..ContactsPatch::default()
        }),
        visibility: Change::Set(visibility.into()),
    };
    let stored = edit(&writer, &ada, patch, at(1)).await.unwrap().user;
    assert_eq!(writer.find(&ada.id).await.unwrap(), Some(stored.clone()));
    let second = ada.edit(&naming("late").check(date(at(0))).unwrap(), &Claims::default(), at(2));
    let refused = writer.store(&second.unwrap().unwrap(), "trace").await.unwrap_err();
    assert_eq!(refused.class, PortErrorClass::Conflict);
    let reader = UserReader::new(&world.operator());
    assert_eq!(reader.find_by_username(&"late".parse().unwrap()).await.unwrap(), None);
    let claims = writer.claims(&stored, &naming("late").check(date(at(0))).unwrap()).await.unwrap();
    assert_eq!(claims.wanted, None, "the claim of a refused write is not stored");
    assert_eq!(claims.current.map(|claim| claim.user), Some(ada.id));
}

/// Somebody who joins with an address.
fn joining_with(number: u64, address: &str) -> SignedIn {
    let SignedIn { user, .. } = joining(number);
    let user = User { email: Some(address.to_owned()), ..user };
    SignedIn { user, address: AddressChange::Claimed { released: None } }
}

fn moving(user: User, address: &str) -> SignedIn {
    let address_before = AddressChange::Claimed { released: user.email.clone() };
    let version = user.version + 1;
    let user = User { email: Some(address.to_owned()), version, ..user };
    SignedIn { user, address: address_before }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_19_of_all_who_join_with_one_address_at_once_one_does() {
    let world = World::start().await;
    let directory = UserDirectory::new(&world.operator());
    let reader = UserReader::new(&world.operator());
    let joining: Vec<SignedIn> =
        (0..CLAIMANTS).map(|number| joining_with(number, "ada@example.org")).collect();
    let storing = joining.iter().map(|joining| directory.join(joining, "trace"));
    let stored: Vec<_> = stream::iter(storing).buffered(AT_A_TIME).collect().await;
    let (mut joined, mut refused) = (Vec::new(), Vec::new());
    for (SignedIn { user, .. }, stored) in joining.iter().zip(stored) {
        match stored {
            Ok(()) => joined.push(user.clone()),
            Err(error) => {
                assert_eq!(error.class, PortErrorClass::Conflict, "{error:?}");
                refused.push(user);
            }
        }
    }
    assert_eq!((joined.len(), refused.len()), (1, 999));
    let found = reader.find_by_email("ada@example.org").await.unwrap();
    assert_eq!(found.as_ref(), joined.first());
    for user in refused.into_iter().take(20) {
        assert_eq!(reader.find(&user.id).await.unwrap(), None, "nothing is stored by halves");
        let link = reader.find_by_identity(&user.issuer, &user.subject).await.unwrap();
        assert_eq!(link, None, "an identity without a user is not linked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_moves_is_given_up_and_taken_in_one_write() {
    let world = World::start().await;
    let name = std::any::type_name::<UserDirectory>();
    let connection = world.acting_as(name, UserDirectory::GRANTS);
    let directory = UserDirectory::new(&Tables::new(&connection, "dev"));
    let (ada, lin) = (joining_with(1, "ada@example.org"), joining_with(2, "lin@example.org"));
    for joining in [&ada, &lin] {
        directory.join(joining, "trace").await.unwrap();
    }
    let owner = async |address: &str| directory.owner(address).await.unwrap();
    let taken = moving(ada.user.clone(), "lin@example.org");
    let refused = directory.update(&taken, "trace").await.unwrap_err();
    assert_eq!(refused.class, PortErrorClass::Conflict);
    assert_eq!(owner("ada@example.org").await, Some(ada.user.id.clone()));
    assert_eq!(owner("lin@example.org").await, Some(lin.user.id.clone()));
    let moved = moving(ada.user.clone(), "new@example.org");
    directory.update(&moved, "trace").await.unwrap();
    assert_eq!(owner("ada@example.org").await, None);
    assert_eq!(owner("new@example.org").await, Some(ada.user.id.clone()));
    // What was given up is free for somebody else, and claiming one's own again is no fault.
    directory.update(&moving(lin.user, "ada@example.org"), "trace").await.unwrap();
    let again = SignedIn {
        address: AddressChange::Claimed { released: None },
        ..moving(moved.user, "new@example.org")
    };
    directory.update(&again, "trace").await.unwrap();
    let found = directory.find_by_identity(&again.user.issuer, &again.user.subject).await;
    assert_eq!(found.unwrap(), Some(again.user));
    world.check_grants_are_used::<UserDirectory>();
}

#[tokio::test(flavor = "multi_thread")]
async fn s_19_of_many_who_link_one_identity_at_once_one_does_and_what_waited_is_gone() {
    let world = World::start().await;
    let name = std::any::type_name::<IdentityLinker>();
    let connection = world.acting_as(name, IdentityLinker::GRANTS);
    let links = IdentityLinker::new(&Tables::new(&connection, "dev"));
    let address = "ada@example.org";
    let ada = joining_with(1, address);
    let directory = UserDirectory::new(&world.operator());
    directory.join(&ada, "trace").await.unwrap();
    let taken = AddressTaken { address: address.to_owned(), owner: ada.user.id.clone() };
    let random = SeededRandom::new(3);
    let (link, _cookie) = PendingLink::begin(&identity(2), &taken, at(0), &random);
    LinkKeeper::new(&world.operator()).keep(&link, "trace").await.unwrap();
    assert_eq!(links.pending(&link.hash).await.unwrap(), Some(link.clone()));
    let linked = links.find(&ada.user.id).await.unwrap().unwrap().link(&link, at(1)).unwrap();
    let linking = (0..AT_A_TIME).map(|_| links.link(&linked, &link, at(1), "trace"));
    let results = futures::future::join_all(linking).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.class, PortErrorClass::Conflict, "{error:?}");
    }
    assert_eq!(links.pending(&link.hash).await.unwrap(), None);
    assert_eq!(links.owner(&link).await.unwrap(), Some(ada.user.id));
    let found = directory.find_by_identity(&link.issuer, &link.subject).await.unwrap();
    assert_eq!(found, Some(linked));
    world.check_grants_are_used::<IdentityLinker>();
}
