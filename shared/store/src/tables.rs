//! The connection to the tables of one stage, and what a capability is.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use rollcall_aws::{Connection, Service};
use rollcall_resources::{Grant, Table};

/// The tables of one stage.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) client: Client,
    stage: String,
}

impl Tables {
    /// Prepares the client; connects to nothing yet.
    pub fn new(connection: &Connection, stage: &str) -> Arc<Self> {
        let client = Client::new(&connection.config(Service::DynamoDb));
        Arc::new(Self { client, stage: stage.to_owned() })
    }

    /// A table's name in AWS.
    pub(crate) fn name(&self, table: Table) -> String {
        table.full_name(&self.stage)
    }
}

/// Something a function may do with the tables.
pub trait Capability: Sized {
    /// The permissions its calls need.
    const GRANTS: &'static [Grant];

    /// The capability, on these tables.
    fn new(tables: &Arc<Tables>) -> Self;
}

/// Declares a capability type: its documentation, its name, and the grants it needs.
macro_rules! capability {
    ($(#[$doc:meta])* $name:ident, $($grant:expr),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            pub(crate) tables: std::sync::Arc<$crate::Tables>,
        }

        impl $crate::Capability for $name {
            const GRANTS: &'static [rollcall_resources::Grant] = &[$($grant),+];

            fn new(tables: &std::sync::Arc<$crate::Tables>) -> Self {
                Self { tables: std::sync::Arc::clone(tables) }
            }
        }
    };
}

pub(crate) use capability;
