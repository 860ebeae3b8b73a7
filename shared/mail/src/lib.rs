//! Amazon SES (version 2 of its API): sending one mail to one address.
//!
//! A call is made once. What the outbox does with a failure is its own affair, and a repetition in
//! here would only make more of the mails that arrive twice. No text of the service is passed on:
//! it names addresses, and texts of errors end in logs.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader};
use rollcall_aws::{Connection, Service};
use rollcall_domain::mail::{Address, Refusal, Rendered};
use rollcall_domain::port::{PortError, PortErrorClass};

/// How long sending a mail may take. When it takes longer, the mail may have been sent, and is sent
/// again later.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The character set of everything we write.
const CHARSET: &str = "UTF-8";
const OPERATION: &str = "send a mail";

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It will never be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may be later.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A sender that is no address of ours.
#[derive(Debug, thiserror::Error)]
#[error("must be an e-mail address, or a name followed by one in angle brackets")]
pub struct InvalidSender;

/// Sends mails from one address.
#[derive(Debug)]
pub struct Mailer {
    client: Client,
    from: String,
}

impl Mailer {
    /// Prepares the client; connects to nothing yet. `from` is an address of ours, with or without a
    /// display name (RFC 5322 §3.4): `Rollcall <mail@rollcall.example>`.
    pub fn new(connection: &Connection, from: &str) -> Result<Self, InvalidSender> {
        let address = from.strip_suffix('>').and_then(|from| from.rsplit_once('<'));
        let address = address.map_or(from, |(_name, address)| address);
        Address::parse(address).map_err(|_shape| InvalidSender)?;
        let timeouts = TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT).build();
        let config = aws_sdk_sesv2::config::Builder::from(&connection.config(Service::Email))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Ok(Self { client: Client::from_conf(config), from: from.to_owned() })
    }

    /// Sends one mail. When this fails with an error of the port, the mail may have been sent.
    pub async fn send(&self, to: &Address, mail: &Rendered) -> Result<(), SendError> {
        let message = message(mail)
            .map_err(|error| PortError::new(OPERATION, PortErrorClass::Rejected, error))?;
        self.client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(to.as_str()).build())
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

fn message(mail: &Rendered) -> Result<Message, BuildError> {
    let content = |text: &str| Content::builder().data(text).charset(CHARSET).build();
    let body = Body::builder().text(content(&mail.text)?).html(content(&mail.html)?).build();
    // So that no absence notice answers (RFC 3834 §5).
    let automatic = MessageHeader::builder().name("Auto-Submitted").value("auto-generated");
    let message = Message::builder().subject(content(&mail.subject)?).body(body);
    Ok(message.headers(automatic.build()?).build())
}

fn failed<R>(error: &SdkError<SendEmailError, R>) -> SendError {
    let later = |class, what: &'static str| PortError::new(OPERATION, class, what).into();
    let error = match error {
        SdkError::ServiceError(service) => service.err(),
        SdkError::ConstructionFailure(_) => {
            return later(PortErrorClass::Rejected, "the request cannot be built");
        }
        SdkError::TimeoutError(_) => {
            return later(PortErrorClass::Unavailable, "no answer in time");
        }
        SdkError::DispatchFailure(_) => {
            return later(PortErrorClass::Unavailable, "the mail service is not reached");
        }
        _ => return later(PortErrorClass::Unavailable, "no answer that can be read"),
    };
    match error {
        SendEmailError::MessageRejected(_) => Refusal::Content.into(),
        SendEmailError::BadRequestException(_) => Refusal::Address.into(),
        SendEmailError::TooManyRequestsException(_) => {
            later(PortErrorClass::Throttled, "too many mails at once")
        }
        SendEmailError::LimitExceededException(_) => {
            later(PortErrorClass::Throttled, "too many mails for the account")
        }
        SendEmailError::AccountSuspendedException(_) => {
            later(PortErrorClass::Rejected, "the account may not send mail any more")
        }
        SendEmailError::SendingPausedException(_) => {
            later(PortErrorClass::Rejected, "sending is paused for the account")
        }
        SendEmailError::MailFromDomainNotVerifiedException(_) => {
            later(PortErrorClass::Rejected, "the domain that mail comes from is not verified")
        }
        SendEmailError::NotFoundException(_) => {
            later(PortErrorClass::Rejected, "the mail service misses a resource")
        }
        // Not among the operation's own errors: IAM's word, or an outage.
        error => match error.code() {
            Some("AccessDeniedException" | "UnrecognizedClientException") => {
                later(PortErrorClass::Rejected, "the mail service does not let us")
            }
            _ => later(PortErrorClass::Unavailable, "the mail service failed"),
        },
    }
}
