//! Signing in: the user that an identity names, with the claims that go with it.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::user::{AddressChange, SignedIn, User};
use rollcall_resources::{Grant, Table};

use super::item::{CLAIM, IdentityItem, LINK, PointerItem, UserItem, email_key, identity_key};
use super::{find, find_by_identity, find_by_pointer};
use crate::error::corrupt;
use crate::item::{key, text, to_item};
use crate::tables::{Tables, capability};

/// A claim is stored where there is none, and again where it is the user's own.
const NOBODY_ELSES: &str = "attribute_not_exists(pk) OR user_id = :user";

capability! {
    /// Finds and stores the user that an identity names.
    UserDirectory, Grant::table(
        Table::Users,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"],
    )
}

impl UserDirectory {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// The user that an identity names, strongly consistent.
    pub async fn find_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<User>, PortError> {
        find_by_identity(&self.tables, issuer, subject).await
    }

    /// Whose a verified address is, in the form of `Identity::verified_email`, strongly consistent.
    pub async fn owner(&self, address: &str) -> Result<Option<UserId>, PortError> {
        find_by_pointer(&self.tables, &email_key(address), CLAIM).await
    }

    /// Stores a new user together with the claims on its identity and its address; `Conflict`, and
    /// nothing is stored, when another sign-in of the same person or address was first.
    pub async fn join(&self, signed_in: &SignedIn, trace_id: &str) -> Result<(), PortError> {
        join(&self.tables, signed_in, trace_id).await
    }

    /// Stores a user who signed in again; `Conflict`, and nothing is stored, when somebody else
    /// changed the user, or claimed the address, in between.
    pub async fn update(&self, signed_in: &SignedIn, trace_id: &str) -> Result<(), PortError> {
        let (tables, user) = (&self.tables, &signed_in.user);
        let item = UserItem::new(user, user.last_seen_at, trace_id);
        let address = address_parts(tables, signed_in, trace_id)?;
        if address.is_empty() {
            return tables.put_version(Table::Users, &item, user.version).await;
        }
        let mut parts = vec![tables.put_version_part(Table::Users, &item, user.version)?];
        parts.extend(address);
        tables.transact("store a user with a new address", parts).await
    }
}

capability! {
    /// Stores people who signed up and have not signed in yet.
    UserJoiner, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"])
}

impl UserJoiner {
    /// The user that an identity names, strongly consistent.
    pub async fn find_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<User>, PortError> {
        find_by_identity(&self.tables, issuer, subject).await
    }

    /// Whose a verified address is, as [`UserDirectory::owner`] says.
    pub async fn owner(&self, address: &str) -> Result<Option<UserId>, PortError> {
        find_by_pointer(&self.tables, &email_key(address), CLAIM).await
    }

    /// Stores a new user as [`UserDirectory::join`] does.
    pub async fn join(&self, signed_in: &SignedIn, trace_id: &str) -> Result<(), PortError> {
        join(&self.tables, signed_in, trace_id).await
    }
}

async fn join(tables: &Tables, signed_in: &SignedIn, trace_id: &str) -> Result<(), PortError> {
    let user = &signed_in.user;
    let now = user.joined_at;
    let identity = (user.issuer.as_str(), user.subject.as_str());
    let link = (identity_key(identity.0, identity.1), LINK);
    let link = PointerItem::new(link, &user.id, now, trace_id);
    let listed = IdentityItem::new(&user.id, identity, now, trace_id);
    let item = UserItem::new(user, now, trace_id);
    let mut parts = vec![
        tables.put_version_part(Table::Users, &link, 1)?,
        tables.put_version_part(Table::Users, &listed, 1)?,
        tables.put_version_part(Table::Users, &item, user.version)?,
    ];
    parts.extend(address_parts(tables, signed_in, trace_id)?);
    tables.transact("store a new user", parts).await
}

/// What is to be stored about addresses together with the user.
fn address_parts(
    tables: &Tables,
    signed_in: &SignedIn,
    trace_id: &str,
) -> Result<Vec<TransactWriteItem>, PortError> {
    let SignedIn { user, address } = signed_in;
    let (AddressChange::Claimed { released }, Some(email)) = (address, &user.email) else {
        return Ok(Vec::new());
    };
    let build = "build a transaction";
    let table = tables.name(Table::Users);
    let at = user.last_seen_at;
    let claim = PointerItem::new((email_key(email), CLAIM), &user.id, at, trace_id);
    let claim = Put::builder()
        .table_name(&table)
        .set_item(Some(to_item(&claim)?))
        .condition_expression(NOBODY_ELSES)
        .expression_attribute_values(":user", text(user.id.as_str()));
    let claim = claim.build().map_err(corrupt(build))?;
    let mut parts = vec![TransactWriteItem::builder().put(claim).build()];
    if let Some(released) = released {
        let release = Delete::builder()
            .table_name(&table)
            .set_key(Some(key(&email_key(released), CLAIM)))
            .condition_expression(NOBODY_ELSES)
            .expression_attribute_values(":user", text(user.id.as_str()));
        let release = release.build().map_err(corrupt(build))?;
        parts.push(TransactWriteItem::builder().delete(release).build());
    }
    Ok(parts)
}
