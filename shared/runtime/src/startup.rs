//! What a function's handler is built from, once per process.

use std::sync::{Arc, OnceLock};

use rollcall_aws::Connection;
use rollcall_domain::random::Random;
use rollcall_domain::time::Clock;
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue, Resource, SecretName};
use rollcall_secrets::SecretReader;
use rollcall_store::{Capability, Tables};

use crate::declaration::Function;
use crate::settings::{STAGE, Setting, Settings};
use crate::system::{SystemClock, SystemRandom};

/// Why a function's program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Variables are missing or malformed; all of them are named.
    #[error("the settings are wrong: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The handler uses something that its declaration does not name.
    #[error("{function} does not declare {what}")]
    Undeclared {
        /// The function.
        function: &'static str,
        /// What it uses.
        what: String,
    },
    /// The declaration has no handler.
    #[error("the declaration has no handler")]
    NoHandler,
    /// A part of the handler could not be prepared.
    #[error("failed to prepare {what}")]
    Part {
        /// Which part.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a handler may be built from: exactly what its function declares.
pub struct Startup {
    function: &'static Function,
    settings: Settings,
    connection: Connection,
    tables: OnceLock<Arc<Tables>>,
}

impl Startup {
    /// The start of `function` with these settings.
    pub fn new(function: &'static Function, settings: Settings, connection: Connection) -> Self {
        Self { function, settings, connection, tables: OnceLock::new() }
    }

    /// The function that starts.
    pub fn function(&self) -> &'static Function {
        self.function
    }

    /// The stage.
    pub fn stage(&self) -> Result<&str, StartupError> {
        self.setting(&STAGE)
    }

    /// A declared setting's value.
    pub fn setting(&self, setting: &'static Setting) -> Result<&str, StartupError> {
        self.settings.get(setting).ok_or_else(|| self.undeclared(setting.name.to_owned()))
    }

    /// A capability on the tables, if the function declares its grants.
    pub fn capability<C: Capability>(&self) -> Result<C, StartupError> {
        for grant in C::GRANTS {
            self.check(grant)?;
        }
        let stage = self.stage()?;
        let tables = self.tables.get_or_init(|| Tables::new(&self.connection, stage));
        Ok(C::new(tables))
    }

    /// A sender to a declared queue.
    pub fn queue(&self, queue: Queue) -> Result<QueueSender, StartupError> {
        self.check(&Grant::send(queue))?;
        Ok(QueueSender::new(&self.connection, self.stage()?, queue))
    }

    /// A reader of a declared secret.
    pub fn secret(&self, secret: SecretName) -> Result<SecretReader, StartupError> {
        self.check(&Grant::secret(secret))?;
        Ok(SecretReader::new(&self.connection, self.stage()?, secret))
    }

    /// The connection to AWS, for adapters of their own.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    /// The source of randomness.
    pub fn random(&self) -> Arc<dyn Random> {
        Arc::new(SystemRandom)
    }

    fn check(&self, grant: &Grant) -> Result<(), StartupError> {
        let declared = self.function.code_grants();
        let actions = declared.get(&grant.resource);
        match grant.actions.iter().find(|action| !actions.is_some_and(|a| a.contains(*action))) {
            None => Ok(()),
            Some(action) => {
                Err(self.undeclared(format!("{action} on {}", describe(grant.resource))))
            }
        }
    }

    fn undeclared(&self, what: String) -> StartupError {
        StartupError::Undeclared { function: self.function.name, what }
    }
}

fn describe(resource: Resource) -> String {
    match resource {
        Resource::Table(table) => format!("table {}", table.name()),
        Resource::Index(table, index) => format!("index {index} of table {}", table.name()),
        Resource::Stream(table) => format!("stream of table {}", table.name()),
        Resource::Queue(queue) => format!("queue {}", queue.name()),
        Resource::Secret(secret) => format!("secret {}", secret.name()),
        Resource::Mail => "mail".to_owned(),
    }
}
