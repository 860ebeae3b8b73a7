//! Starting a local cloud from the functions' declarations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollcall_aws::Service;
use rollcall_local_dynamodb::{DynamoDb, IndexDefinition, TableDefinition};
use rollcall_local_hubspot::HubSpot;
use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown, Snapshot, Statement};
use rollcall_local_lambda::{
    Backoff, Cors, FunctionSpec, GatewayOptions, Lambda, LogSink, MappingOptions, QueueMapping,
    RouteSpec, Schedule, Schedules, StreamMapping, gateway, router, start_queue, start_stream,
};
use rollcall_local_mail::Mail;
use rollcall_local_messages::{Messages, QueueDefinition, Redrive};
use rollcall_local_provider::Provider;
use rollcall_resources::{Queue, SecretName, Table, table};
use rollcall_runtime::Function;
use rollcall_runtime::declaration::{CORS, QueueTrigger, StreamTrigger, Trigger};

use crate::cloud::{ACCOUNT, Addresses, Cloud, REGION, STAGE};
use crate::pool::PoolTriggers;
use crate::sources::{MessageQueue, TableStream};

/// Processes of functions at once; AWS starts at 1 000, a laptop has fewer cores. Above fifty, so that
/// fifty requests at once leave room for what they wait for, such as the user pool's trigger.
const PROCESSES_MAX: usize = 64;
/// Idle processes that are kept per function.
const WARM_PROCESSES_MAX: usize = 12;
/// Log lines and reports that are kept.
const LOG_EVENTS_MAX: usize = 200_000;

/// Which ports to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// Counting up from here: API, provider, HubSpot, DynamoDB, messages.
    From(u16),
    /// Any that are free.
    Free,
}

/// The values of all settings by name, given the addresses.
pub type SettingsChoice = Box<dyn Fn(&Addresses) -> BTreeMap<&'static str, String> + Send + Sync>;

/// How to open the identity provider, given the addresses, the folder and the clock.
pub type ProviderChoice = Box<
    dyn Fn(&Addresses, Option<PathBuf>, LocalClock) -> rollcall_local_provider::Options
        + Send
        + Sync,
>;

/// How to start a local cloud.
pub struct Options {
    /// Where data survive a restart; in memory when absent.
    pub folder: Option<PathBuf>,
    /// Which ports to listen on.
    pub ports: PortChoice,
    /// Every function there is.
    pub functions: Vec<&'static Function>,
    /// The program that holds every function, and how it is asked for one: the function's name is
    /// added as the last argument.
    pub program: (PathBuf, Vec<String>),
    /// The values of all settings, once the addresses are known.
    pub settings: SettingsChoice,
    /// The secrets' values.
    pub secrets: Vec<(SecretName, String)>,
    /// The identity provider, once the addresses are known.
    pub provider: ProviderChoice,
    /// HubSpot's tokens and account.
    pub hubspot: (Vec<rollcall_local_hubspot::Token>, rollcall_local_hubspot::Settings),
    /// Where HubSpot tells us what happens, once the addresses are known.
    pub hubspot_webhooks: fn(&Addresses) -> rollcall_local_hubspot::Subscription,
    /// Domains that mail may come from.
    pub mail_domains: Vec<String>,
    /// Origins whose pages may call the API, once the addresses are known.
    pub origins: fn(&Addresses) -> Vec<String>,
}

/// Why a local cloud cannot start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("port {port} is in use; stop what uses it, or choose other ports: make dev PORT=9100")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The port cannot be listened on.
    #[error("port {port} cannot be listened on; choose other ports: make dev PORT=9100")]
    Port {
        /// The port.
        port: u16,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The tables cannot be opened.
    #[error(transparent)]
    DynamoDb(#[from] rollcall_local_dynamodb::OpenError),
    /// A table cannot be made.
    #[error("table {table} cannot be made; start with RESET=1 to forget the local data")]
    Table {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        source: rollcall_local_dynamodb::TableError,
    },
    /// The queues cannot be opened.
    #[error(transparent)]
    Messages(#[from] rollcall_local_messages::OpenError),
    /// A queue cannot be made.
    #[error("queue {queue} cannot be made; start with RESET=1 to forget the local data")]
    Queue {
        /// The queue.
        queue: &'static str,
        /// Why.
        #[source]
        source: rollcall_local_messages::QueueError,
    },
    /// The identity provider cannot be opened.
    #[error(transparent)]
    Provider(#[from] rollcall_local_provider::OpenError),
    /// Saved state cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A function reads a setting that the local cloud does not know.
    #[error("function {function} needs the setting {setting}, which has no local value")]
    Setting {
        /// The function.
        function: &'static str,
        /// The setting.
        setting: &'static str,
    },
}

struct Servers {
    api: Server,
    provider: Server,
    hubspot: Server,
    dynamodb: Server,
    messages: Server,
    mail: Server,
}

impl Servers {
    async fn bind(ports: PortChoice) -> Result<Self, StartError> {
        let port = |offset: u16| match ports {
            PortChoice::From(base) => base.saturating_add(offset),
            PortChoice::Free => 0,
        };
        Ok(Self {
            api: bind(port(0)).await?,
            provider: bind(port(1)).await?,
            hubspot: bind(port(2)).await?,
            dynamodb: bind(port(3)).await?,
            messages: bind(port(4)).await?,
            mail: bind(port(5)).await?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            api: self.api.address().port(),
            provider: self.provider.address().port(),
            hubspot: self.hubspot.address().port(),
            dynamodb: self.dynamodb.address().port(),
            messages: self.messages.address().port(),
            mail: self.mail.address().port(),
        }
    }
}

async fn bind(port: u16) -> Result<Server, StartError> {
    Server::bind(port).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortInUse { port },
        _ => StartError::Port { port, source },
    })
}

impl Cloud {
    /// Starts every part. When this returns, all of them listen.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let servers = Servers::bind(options.ports).await?;
        let addresses = servers.addresses();
        let (clock, iam, shutdown) = (LocalClock::new(), Iam::new(), Shutdown::new());
        let dynamodb = open_dynamodb(&options, &clock, &iam)?;
        let messages = open_messages(&options, &addresses, &clock, &iam)?;
        let mail = Mail::open(rollcall_local_mail::Options {
            folder: options.folder.clone(),
            clock: clock.clone(),
            iam: iam.clone(),
            domains: options.mail_domains.clone(),
        })?;
        let (tokens, settings) = options.hubspot.clone();
        let hubspot = HubSpot::open(rollcall_local_hubspot::Options {
            folder: options.folder.clone(),
            clock: clock.clone(),
            base_url: Addresses::url(addresses.hubspot),
            tokens,
            settings,
        })?;
        hubspot.subscribe((options.hubspot_webhooks)(&addresses));
        let logs = LogSink::new(LOG_EVENTS_MAX);
        let lambda = Lambda::new(rollcall_local_lambda::Options {
            clock: clock.clone(),
            iam: iam.clone(),
            shutdown: shutdown.clone(),
            logs: logs.clone(),
            concurrency_max: PROCESSES_MAX,
            warm_per_function_max: WARM_PROCESSES_MAX,
        });
        add_functions(&options, &addresses, &lambda, &iam)?;
        let provider = (options.provider)(&addresses, options.folder.clone(), clock.clone());
        let triggers = PoolTriggers::new(&options.functions, &lambda);
        let provider = Provider::open(rollcall_local_provider::Options {
            triggers: Some(Arc::new(triggers)),
            ..provider
        })?;
        let schedules = schedules(&options.functions, &lambda, &clock, &shutdown);
        tokio::spawn(dynamodb.clone().keep_house(shutdown.clone()));
        servers.dynamodb.serve(dynamodb.router(), shutdown.clone());
        servers.messages.serve(messages.router(), shutdown.clone());
        servers.mail.serve(mail.router(), shutdown.clone());
        servers.provider.serve(provider.router(), shutdown.clone());
        servers.hubspot.serve(hubspot.router(), shutdown.clone());
        let api = gateway_options(&options, &addresses, &lambda, &clock);
        servers.api.serve(router(api), shutdown.clone());
        let cloud = Self {
            addresses,
            clock,
            iam,
            dynamodb,
            messages,
            mail,
            lambda,
            logs,
            provider,
            hubspot,
            schedules,
            shutdown,
        };
        cloud.start_mappings(&options)?;
        Ok(cloud)
    }

    fn start_mappings(&self, options: &Options) -> Result<(), StartError> {
        for function in &options.functions {
            for trigger in function.triggers {
                match trigger {
                    Trigger::Stream(stream) => {
                        let folder = options.folder.as_deref();
                        let name = format!("checkpoints-{}-{}", function.name, stream.table.name());
                        let checkpoints = Snapshot::new(folder, &name);
                        self.start_stream(function, stream, checkpoints)?;
                    }
                    Trigger::Queue(queue) => self.start_queue(function, *queue),
                    Trigger::Http(_) | Trigger::Schedule { .. } | Trigger::Cognito(_) => {}
                }
            }
        }
        Ok(())
    }

    fn start_stream(
        &self,
        function: &Function,
        trigger: &StreamTrigger,
        checkpoints: Snapshot,
    ) -> Result<(), StartError> {
        let source =
            TableStream { dynamodb: self.dynamodb.clone(), table: trigger.table.full_name(STAGE) };
        let failures = MessageQueue {
            messages: self.messages.clone(),
            queue: trigger.failure_queue.full_name(STAGE),
        };
        let mapping = StreamMapping {
            function: function.name.to_owned(),
            batch_size: to_usize(trigger.batch_size),
            batch_window: Duration::from_secs(trigger.batch_window_seconds.into()),
            parallelization_factor: to_usize(trigger.parallelization_factor),
            retry_attempts_max: Some(trigger.retry_attempts_max),
            record_age_max: Some(Duration::from_secs(trigger.record_age_seconds_max.into())),
            bisect_on_error: true,
            report_batch_item_failures: true,
        };
        let options = self.mapping_options();
        start_stream(options, Arc::new(source), mapping, Some(Arc::new(failures)), checkpoints)?;
        Ok(())
    }

    fn start_queue(&self, function: &Function, trigger: QueueTrigger) {
        let source =
            MessageQueue { messages: self.messages.clone(), queue: trigger.queue.full_name(STAGE) };
        let mapping = QueueMapping {
            function: function.name.to_owned(),
            batch_size: to_usize(trigger.batch_size),
            batch_window: Duration::ZERO,
            concurrency_max: None,
            report_batch_item_failures: true,
        };
        start_queue(self.mapping_options(), Arc::new(source), mapping);
    }

    fn mapping_options(&self) -> MappingOptions {
        MappingOptions {
            lambda: self.lambda.clone(),
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
            backoff: Backoff::default(),
        }
    }
}

fn open_dynamodb(options: &Options, clock: &LocalClock, iam: &Iam) -> Result<DynamoDb, StartError> {
    let dynamodb = DynamoDb::open(rollcall_local_dynamodb::Options {
        folder: options.folder.clone(),
        clock: clock.clone(),
        iam: iam.clone(),
    })?;
    for table in Table::ALL {
        let indexes = table.indexes().iter().map(|index| IndexDefinition {
            name: index.name.to_owned(),
            partition_key: index.partition_key.to_owned(),
            sort_key: Some(index.sort_key.to_owned()),
        });
        let definition = TableDefinition {
            name: table.full_name(STAGE),
            partition_key: table::PARTITION_KEY.to_owned(),
            sort_key: Some(table::SORT_KEY.to_owned()),
            stream: table.has_stream(),
            time_to_live_attribute: table.expires().then(|| table::EXPIRES_AT.to_owned()),
            indexes: indexes.collect(),
        };
        let created = dynamodb.create_table(&definition);
        created.map_err(|source| StartError::Table { table: table.name(), source })?;
    }
    Ok(dynamodb)
}

fn open_messages(
    options: &Options,
    addresses: &Addresses,
    clock: &LocalClock,
    iam: &Iam,
) -> Result<Messages, StartError> {
    let messages = Messages::open(rollcall_local_messages::Options {
        folder: options.folder.clone(),
        clock: clock.clone(),
        iam: iam.clone(),
        base_url: Addresses::url(addresses.messages),
    })?;
    // Dead-letter queues first: the others refer to them.
    let (sources, dead): (Vec<Queue>, Vec<Queue>) =
        Queue::ALL.into_iter().partition(|queue| queue.redrive().is_some());
    for queue in dead.into_iter().chain(sources) {
        let redrive = queue.redrive().map(|redrive| Redrive {
            dead_letter_queue: redrive.dead_letter_queue.full_name(STAGE),
            max_receive_count: redrive.receives_max,
        });
        let definition = QueueDefinition {
            name: queue.full_name(STAGE),
            visibility_timeout_seconds: queue.visibility_timeout_seconds(),
            retention_seconds: queue.retention_seconds(),
            redrive,
        };
        let created = messages.create_queue(&definition);
        created.map_err(|source| StartError::Queue { queue: queue.name(), source })?;
    }
    for (secret, value) in &options.secrets {
        messages.put_secret(&secret.full_name(STAGE), value);
    }
    Ok(messages)
}

fn add_functions(
    options: &Options,
    addresses: &Addresses,
    lambda: &Lambda,
    iam: &Iam,
) -> Result<(), StartError> {
    let settings = (options.settings)(addresses);
    let (program, arguments) = &options.program;
    for function in &options.functions {
        let statements = function.role_grants().into_iter().map(|(resource, actions)| {
            let actions = actions.into_iter().map(ToOwned::to_owned).collect();
            Statement::allow(actions, vec![resource.arn(STAGE, REGION, ACCOUNT)])
        });
        iam.set_policy(function.name, statements.collect());
        let mut environment = endpoints(addresses);
        for setting in function.all_settings() {
            let value = settings
                .get(setting.name)
                .ok_or(StartError::Setting { function: function.name, setting: setting.name })?;
            environment.insert(setting.name.to_owned(), value.clone());
        }
        let mut arguments = arguments.clone();
        arguments.push(function.name.to_owned());
        lambda.add(FunctionSpec {
            name: function.name.to_owned(),
            program: program.clone(),
            arguments,
            environment,
            timeout: Duration::from_secs(function.timeout_seconds.into()),
            memory_mb: function.memory_mb,
            reserved_concurrency: function.reserved_concurrency.map(to_usize),
        });
    }
    Ok(())
}

fn endpoints(addresses: &Addresses) -> BTreeMap<String, String> {
    let Addresses { dynamodb, messages, mail, .. } = *addresses;
    [
        (Service::DynamoDb, dynamodb),
        (Service::DynamoDbStreams, dynamodb),
        (Service::Sqs, messages),
        (Service::SecretsManager, messages),
        (Service::Email, mail),
    ]
    .into_iter()
    .map(|(service, port)| (service.endpoint_variable().to_owned(), Addresses::url(port)))
    .collect()
}

fn schedules(
    functions: &[&'static Function],
    lambda: &Lambda,
    clock: &LocalClock,
    shutdown: &Shutdown,
) -> Schedules {
    let schedule = |function: &&'static Function| {
        let minutes = function.triggers.iter().find_map(|trigger| match trigger {
            Trigger::Schedule { every_minutes } => Some(*every_minutes),
            Trigger::Http(_) | Trigger::Stream(_) | Trigger::Queue(_) | Trigger::Cognito(_) => None,
        })?;
        let every = Duration::from_secs(u64::from(minutes) * 60);
        Some(Schedule { function: function.name.to_owned(), every })
    };
    let schedules = functions.iter().filter_map(schedule).collect();
    Schedules::start(lambda.clone(), clock.clone(), shutdown.clone(), schedules)
}

fn gateway_options(
    options: &Options,
    addresses: &Addresses,
    lambda: &Lambda,
    clock: &LocalClock,
) -> GatewayOptions {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let routes = options.functions.iter().flat_map(|function| {
        function.routes().map(|route| RouteSpec {
            method: route.method.as_str().to_owned(),
            path: route.path.to_owned(),
            function: function.name.to_owned(),
        })
    });
    GatewayOptions {
        lambda: lambda.clone(),
        clock: clock.clone(),
        routes: routes.collect(),
        cors: Some(Cors {
            allow_origins: (options.origins)(addresses),
            allow_methods: CORS.methods.iter().map(|method| method.as_str().to_owned()).collect(),
            allow_headers: texts(CORS.request_headers),
            expose_headers: texts(CORS.response_headers),
            allow_credentials: true,
            max_age_seconds: Some(CORS.max_age_seconds),
        }),
        throttle: None,
        domain_name: format!("localhost:{}", addresses.api),
        integration_timeout: gateway::INTEGRATION_TIMEOUT,
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
