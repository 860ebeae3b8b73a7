//! The local SES as the AWS SDK and a browser see it.

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sesv2::error::ProvideErrorMetadata;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message as SdkMessage};
use aws_smithy_http_client::Builder;
use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown, Statement};

use crate::page::{escape, linked};
use crate::{Fault, FaultKind, MESSAGES_MAX, Mail, Message, Options};

const FROM: &str = "Rollcall <mail@rollcall.example>";

struct Cloud {
    url: String,
    mail: Mail,
    iam: Iam,
    shutdown: Shutdown,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn open(folder: Option<&std::path::Path>, iam: &Iam) -> Mail {
    Mail::open(Options {
        folder: folder.map(ToOwned::to_owned),
        clock: LocalClock::new(),
        iam: iam.clone(),
        domains: vec!["rollcall.example".to_owned()],
    })
    .unwrap()
}

async fn start() -> Cloud {
    let (iam, shutdown) = (Iam::new(), Shutdown::new());
    let mail = open(None, &iam);
    let server = Server::bind(0).await.unwrap();
    let url = server.base_url();
    server.serve(mail.router(), shutdown.clone());
    Cloud { url, mail, iam, shutdown }
}

impl Cloud {
    /// Sends a mail as `key`; the code of the error when it is refused.
    async fn send(&self, key: &str, from: &str, to: &str) -> Result<String, String> {
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(key, "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.url)
            .http_client(Builder::new().build_http())
            .build();
        let content = |text: &str| Content::builder().data(text).build().unwrap();
        let body = Body::builder()
            .text(content("See http://localhost:9000/x?a=1&b=2 <now>"))
            .html(content("<p>See</p>"))
            .build();
        let message = SdkMessage::builder().subject(content("<Hello>")).body(body).build();
        let sent = Client::from_conf(config)
            .send_email()
            .from_email_address(from)
            .destination(Destination::builder().to_addresses(to).build())
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await;
        match sent {
            Ok(output) => Ok(output.message_id.unwrap()),
            Err(error) => Err(error.code().unwrap_or("none").to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_taken_from_whoever_may_send_it() {
    let cloud = start().await;
    let id = cloud.send("local", FROM, "ada@rollcall.example").await.unwrap();
    let messages = cloud.mail.messages();
    assert_eq!((messages.len(), messages[0].id.as_str()), (1, id.as_str()));
    assert_eq!(messages[0].to, ["ada@rollcall.example"]);
    assert_eq!(
        (messages[0].subject.as_str(), messages[0].html.as_str()),
        ("<Hello>", "<p>See</p>")
    );

    cloud.iam.add_key("AKIA1", "mail-send");
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(cloud.send("AKIA1", FROM, "ada@rollcall.example").await, denied);
    let identity = "arn:aws:ses:us-east-1:000000000000:identity/rollcall.example".to_owned();
    let statement = Statement::allow(vec!["ses:SendEmail".to_owned()], vec![identity]);
    cloud.iam.set_policy("mail-send", vec![statement]);
    assert!(cloud.send("AKIA1", FROM, "ada@rollcall.example").await.is_ok());
    let unknown = Err("UnrecognizedClientException".to_owned());
    assert_eq!(cloud.send("AKIA2", FROM, "ada@rollcall.example").await, unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ses_refuses_is_refused_in_its_words() {
    let cloud = start().await;
    for (from, to, code) in [
        (FROM, "ada", "BadRequestException"),
        (FROM, "a@rollcall.example,b@rollcall.example", "BadRequestException"),
        ("Rollcall", "ada@rollcall.example", "BadRequestException"),
        ("mail@elsewhere.example", "ada@rollcall.example", "MessageRejected"),
    ] {
        assert_eq!(cloud.send("local", from, to).await, Err(code.to_owned()), "{from} {to}");
    }
    assert_eq!(cloud.mail.messages(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_come_on_demand_and_end() {
    let cloud = start().await;
    for (kind, code, taken) in [
        (FaultKind::Throttle, "TooManyRequestsException", 0),
        (FaultKind::Outage, "ServiceUnavailable", 0),
        (FaultKind::Reject, "MessageRejected", 0),
        (FaultKind::LostAnswer, "ServiceUnavailable", 1),
    ] {
        cloud.mail.forget_messages();
        cloud.mail.set_fault(Some(Fault { kind, count: Some(1) }));
        let answer = cloud.send("local", FROM, "ada@rollcall.example").await;
        assert_eq!(answer, Err(code.to_owned()));
        assert_eq!(cloud.mail.messages().len(), taken, "{kind:?}");
        assert!(cloud.send("local", FROM, "ada@rollcall.example").await.is_ok(), "{kind:?}");
    }
}

#[test]
fn the_mailbox_shows_text_and_links_and_no_mark_up_of_the_mail() {
    assert_eq!(escape("<a href='\"&\"'>"), "&lt;a href=&#39;&quot;&amp;&quot;&#39;&gt;");
    assert_eq!(
        linked("See http://localhost:9000/x?a=1&b=2\n<now> https://\"onclick=x"),
        "See <a href=\"http://localhost:9000/x?a=1&amp;b=2\">http://localhost:9000/x?a=1&amp;b=2</a>\n\
         &lt;now&gt; <a href=\"https://&quot;onclick=x\">https://&quot;onclick=x</a>"
    );
}

#[test]
fn messages_survive_a_restart_up_to_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mail = open(Some(folder.path()), &Iam::new());
    let message = |number: usize| Message {
        id: number.to_string(),
        at: String::new(),
        from: FROM.to_owned(),
        to: Vec::new(),
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        headers: Vec::new(),
    };
    mail.lock().messages = (0..MESSAGES_MAX).map(message).collect();
    mail.keep(message(MESSAGES_MAX));
    let again = open(Some(folder.path()), &Iam::new());
    assert_eq!(again.messages().len(), MESSAGES_MAX);
    assert_eq!(again.messages()[0].id, "1");
}
