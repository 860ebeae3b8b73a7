//! The SQS queues. Each working queue is born with its dead-letter queue.

/// A queue, named `rollcall-{stage}-{name}` in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Wakes the function that drains pending CRM changes.
    CrmDrain,
    /// What failed in [`Queue::CrmDrain`] again and again.
    CrmDrainDead,
    /// Where Lambda reports stream batches that the CRM sync could not handle: metadata only.
    CrmStreamFailures,
    /// What failed in [`Queue::CrmStreamFailures`] again and again.
    CrmStreamFailuresDead,
    /// What the CRM tells us.
    CrmInbound,
    /// What failed in [`Queue::CrmInbound`] again and again.
    CrmInboundDead,
    /// People whose account could not be stored when they signed up: what the provider vouched for.
    UserSweep,
    /// What failed in [`Queue::UserSweep`] again and again.
    UserSweepDead,
    /// Where Lambda reports stream batches of mails that could not be handled: metadata only.
    MailStreamFailures,
    /// What failed in [`Queue::MailStreamFailures`] again and again.
    MailStreamFailuresDead,
    /// Where Lambda reports stream batches of progress behind which nothing could be awarded: metadata
    /// only.
    AwardStreamFailures,
    /// What failed in [`Queue::AwardStreamFailures`] again and again.
    AwardStreamFailuresDead,
    /// Where labs were attested that a validator has to accept: ids alone.
    LabValidations,
    /// What failed in [`Queue::LabValidations`] again and again.
    LabValidationsDead,
}

/// When a message is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Where it goes then.
    pub dead_letter_queue: Queue,
    /// After how many receives.
    pub receives_max: u32,
}

/// Messages wait this long at most: SQS's own maximum of 14 days, so that a weekend loses nothing.
const RETENTION_SECONDS: u32 = 14 * 24 * 60 * 60;
/// How long what a person told may wait. It is less than the seven days between the wish to be erased
/// and the erasure, so nothing about anybody is left in a queue when that comes. A message keeps its
/// age when it becomes a dead letter.
const PERSONAL_RETENTION_SECONDS: u32 = 6 * 24 * 60 * 60;

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 14] = [
        Self::CrmDrain,
        Self::CrmDrainDead,
        Self::CrmStreamFailures,
        Self::CrmStreamFailuresDead,
        Self::CrmInbound,
        Self::CrmInboundDead,
        Self::UserSweep,
        Self::UserSweepDead,
        Self::MailStreamFailures,
        Self::MailStreamFailuresDead,
        Self::AwardStreamFailures,
        Self::AwardStreamFailuresDead,
        Self::LabValidations,
        Self::LabValidationsDead,
    ];

    /// The name without prefix and stage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrmDrain => "crm-drain",
            Self::CrmDrainDead => "crm-drain-dead",
            Self::CrmStreamFailures => "crm-stream-failures",
            Self::CrmStreamFailuresDead => "crm-stream-failures-dead",
            Self::CrmInbound => "crm-inbound",
            Self::CrmInboundDead => "crm-inbound-dead",
            Self::UserSweep => "user-sweep",
            Self::UserSweepDead => "user-sweep-dead",
            Self::MailStreamFailures => "mail-stream-failures",
            Self::MailStreamFailuresDead => "mail-stream-failures-dead",
            Self::AwardStreamFailures => "award-stream-failures",
            Self::AwardStreamFailuresDead => "award-stream-failures-dead",
            Self::LabValidations => "lab-validations",
            Self::LabValidationsDead => "lab-validations-dead",
        }
    }

    /// The name in AWS.
    pub fn full_name(self, stage: &str) -> String {
        format!("rollcall-{stage}-{}", self.name())
    }

    /// How long a received message stays invisible, in seconds: six times the time-out of the
    /// function that takes it, as AWS advises for queues that trigger functions.
    pub const fn visibility_timeout_seconds(self) -> u32 {
        match self {
            Self::CrmDrain
            | Self::CrmDrainDead
            | Self::CrmStreamFailures
            | Self::CrmStreamFailuresDead
            | Self::CrmInbound
            | Self::CrmInboundDead
            | Self::UserSweep
            | Self::UserSweepDead
            | Self::MailStreamFailures
            | Self::MailStreamFailuresDead
            | Self::AwardStreamFailures
            | Self::AwardStreamFailuresDead
            | Self::LabValidations
            | Self::LabValidationsDead => 360,
        }
    }

    /// How long a message waits at most, in seconds.
    pub const fn retention_seconds(self) -> u32 {
        match self {
            Self::CrmDrain
            | Self::CrmDrainDead
            | Self::CrmStreamFailures
            | Self::CrmStreamFailuresDead
            | Self::CrmInbound
            | Self::CrmInboundDead
            | Self::MailStreamFailures
            | Self::MailStreamFailuresDead
            | Self::AwardStreamFailures
            | Self::AwardStreamFailuresDead
            | Self::LabValidations
            | Self::LabValidationsDead => RETENTION_SECONDS,
            Self::UserSweep | Self::UserSweepDead => PERSONAL_RETENTION_SECONDS,
        }
    }

    /// Whether messages tell about people.
    pub const fn is_personal(self) -> bool {
        self.retention_seconds() < RETENTION_SECONDS
    }

    /// The queue whose messages are given up into this one; `None` for working queues.
    pub fn gives_up_for(self) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|queue| queue.redrive().is_some_and(|redrive| redrive.dead_letter_queue == self))
    }

    /// When a message is given up; `None` for dead-letter queues.
    pub const fn redrive(self) -> Option<Redrive> {
        match self {
            Self::CrmDrain => {
                Some(Redrive { dead_letter_queue: Self::CrmDrainDead, receives_max: 5 })
            }
            Self::CrmStreamFailures => {
                Some(Redrive { dead_letter_queue: Self::CrmStreamFailuresDead, receives_max: 5 })
            }
            // Every six minutes for half a day, as below: HubSpot does not tell it again.
            Self::CrmInbound => {
                Some(Redrive { dead_letter_queue: Self::CrmInboundDead, receives_max: 120 })
            }
            // Every six minutes for half a day: as long as an outage of the tables may last.
            Self::UserSweep => {
                Some(Redrive { dead_letter_queue: Self::UserSweepDead, receives_max: 120 })
            }
            Self::MailStreamFailures => {
                Some(Redrive { dead_letter_queue: Self::MailStreamFailuresDead, receives_max: 5 })
            }
            Self::AwardStreamFailures => {
                Some(Redrive { dead_letter_queue: Self::AwardStreamFailuresDead, receives_max: 5 })
            }
            // Every six minutes for half a day: as long as a validator may be away, or think.
            Self::LabValidations => {
                Some(Redrive { dead_letter_queue: Self::LabValidationsDead, receives_max: 120 })
            }
            Self::CrmDrainDead
            | Self::CrmStreamFailuresDead
            | Self::CrmInboundDead
            | Self::UserSweepDead
            | Self::MailStreamFailuresDead
            | Self::AwardStreamFailuresDead
            | Self::LabValidationsDead => None,
        }
    }
}
