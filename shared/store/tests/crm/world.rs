//! A local DynamoDB with our tables, and capabilities that act under their own permissions.

use std::any::type_name;
use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_aws::{Connection, Environment, Service};
use rollcall_local_dynamodb::{DynamoDb, IndexDefinition, Options, TableDefinition};
use rollcall_local_kit::iam::OPERATOR_ACCESS_KEY_ID;
use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown, Statement};
use rollcall_resources::table::{EXPIRES_AT, PARTITION_KEY, SORT_KEY};
use rollcall_resources::{Grant, Table};
use rollcall_store::crm::{
    ChangeSender, CrmTable, DeadLetterEditor, DeadLetterFinder, DeadLetterLister,
    DeadLetterPreviewer, DeadLetterReplayer, DeadLetterSpreader, PendingDrainer, PendingMarker,
    SyncOverseer, UserSyncReader,
};
use rollcall_store::{Capability, Tables};

const STAGE: &str = "dev";
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";

pub(crate) struct World {
    pub(crate) database: DynamoDb,
    pub(crate) clock: LocalClock,
    iam: Iam,
    url: String,
    shutdown: Shutdown,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// A capability on the table `crm`.
pub(crate) trait OnCrm: Capability {
    fn crm(&self) -> Arc<CrmTable>;
}

macro_rules! on_crm {
    ($($name:ident),+) => {$(
        impl OnCrm for $name {
            fn crm(&self) -> Arc<CrmTable> {
                self.table()
            }
        }
    )+};
}

on_crm!(
    ChangeSender,
    DeadLetterEditor,
    DeadLetterFinder,
    DeadLetterLister,
    DeadLetterPreviewer,
    DeadLetterReplayer,
    DeadLetterSpreader,
    PendingDrainer,
    PendingMarker,
    SyncOverseer,
    UserSyncReader
);

impl World {
    pub(crate) async fn start() -> Self {
        let (clock, iam, shutdown) = (LocalClock::new(), Iam::new(), Shutdown::new());
        let options = Options { folder: None, clock: clock.clone(), iam: iam.clone() };
        let database = DynamoDb::open(options).unwrap();
        for table in Table::ALL {
            database.create_table(&definition(table)).unwrap();
        }
        let server = Server::bind(0).await.unwrap();
        let url = server.base_url();
        server.serve(database.router(), shutdown.clone());
        Self { database, clock, iam, url, shutdown }
    }

    pub(crate) fn table<C: OnCrm>(&self) -> Arc<CrmTable> {
        let connection = self.acting_as(type_name::<C>(), C::GRANTS);
        C::new(&Tables::new(&connection, STAGE)).crm()
    }

    pub(crate) fn operator(&self) -> Arc<Tables> {
        Tables::new(&self.connection(OPERATOR_ACCESS_KEY_ID), STAGE)
    }

    /// A connection with these permissions and no others.
    pub(crate) fn acting_as(&self, name: &str, grants: &[Grant]) -> Connection {
        let statements = grants.iter().map(|grant| {
            let actions = grant.actions.iter().map(|action| (*action).to_owned()).collect();
            Statement::allow(actions, vec![grant.resource.arn(STAGE, REGION, ACCOUNT)])
        });
        self.iam.set_policy(name, statements.collect());
        let key = name.replace("::", "-");
        self.iam.add_key(&key, name);
        self.connection(&key)
    }

    fn connection(&self, access_key_id: &str) -> Connection {
        Connection::new(Environment {
            region: REGION.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            endpoints: vec![
                (Service::DynamoDb, self.url.clone()),
                (Service::DynamoDbStreams, self.url.clone()),
            ],
        })
    }

    /// Every permission of a capability was used, and nothing else was asked for.
    #[track_caller]
    pub(crate) fn check_grants_are_used<C: Capability>(&self) {
        self.check_uses(type_name::<C>(), C::GRANTS);
    }

    #[track_caller]
    pub(crate) fn check_uses(&self, name: &str, grants: &[Grant]) {
        let recorded = self.iam.uses().into_iter().filter(|used| used.function == name);
        let used: BTreeSet<(String, String)> =
            recorded.map(|used| (used.action, used.resource)).collect();
        let declared = grants.iter().flat_map(|grant| {
            let arn = grant.resource.arn(STAGE, REGION, ACCOUNT);
            let actions = grant.actions.iter();
            actions.map(move |action| ((*action).to_owned(), arn.trim_end_matches('*').to_owned()))
        });
        let mut count = 0;
        for (action, arn) in declared {
            count += 1;
            let is_used = used.iter().any(|(a, r)| *a == action && r.starts_with(&arn));
            assert!(is_used, "{name} never used {action} on {arn}");
        }
        assert_eq!(used.len(), count, "{name} used {used:?}");
        assert_eq!(self.iam.denials(), []);
    }
}

fn definition(table: Table) -> TableDefinition {
    let indexes = table.indexes().iter().map(|index| IndexDefinition {
        name: index.name.to_owned(),
        partition_key: index.partition_key.to_owned(),
        sort_key: Some(index.sort_key.to_owned()),
    });
    TableDefinition {
        name: table.full_name(STAGE),
        partition_key: PARTITION_KEY.to_owned(),
        sort_key: Some(SORT_KEY.to_owned()),
        stream: table.has_stream(),
        time_to_live_attribute: table.expires().then(|| EXPIRES_AT.to_owned()),
        indexes: indexes.collect(),
    }
}
