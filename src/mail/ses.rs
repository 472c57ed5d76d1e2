//! Amazon SES v2: the finished MIME as raw content.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::ProvideErrorMetadata;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, MessageTag, RawMessage};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use uuid::Uuid;

use super::classify::{self, Correspondents};
use super::{Message, Sender};
use crate::job::{Failure, FailureClass, Verdict};

/// The longest wait for a connection; it leaves enough of the time limit for SES itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Nothing waits for the answer.
const QUOTA_TIMEOUT: Duration = Duration::from_secs(5);

/// SES's limit of recipients in any 24 hours, of the whole account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most; none: no limit.
    pub most_a_day: Option<i64>,
    /// Those of the last 24 hours.
    pub sent: i64,
}

pub(super) struct SesClient {
    pub(super) client: aws_sdk_sesv2::Client,
    configuration_set: Option<String>,
}

impl SesClient {
    pub(super) fn new(client: aws_sdk_sesv2::Client, configuration_set: Option<String>) -> SesClient {
        SesClient { client, configuration_set }
    }

    /// `GetAccount`'s figures, or SES's code for why it does not tell them.
    pub(super) async fn quota(&self) -> Result<Quota, String> {
        let asked = self.client.get_account().customize().config_override(once_within(QUOTA_TIMEOUT)).send().await;
        let account = asked.map_err(|error| error.code().unwrap_or("no answer").to_string())?;
        let quota = account.send_quota.ok_or("no quota in the answer")?;
        #[expect(clippy::cast_possible_truncation, reason = "recipients a day, sent as a floating-point number")]
        let (most, sent) = (quota.max24_hour_send as i64, quota.sent_last24_hours as i64);
        // -1 is how SES says that there is no limit.
        Ok(Quota { most_a_day: (most >= 0).then_some(most), sent })
    }

    /// One `SendEmail`. The SDK's own retries are off: it repeats a lost answer, and SES knows no client token, so the repeat is a
    /// second mail.
    pub(super) async fn send(
        &self,
        mail: &lettre::Message,
        sender: &Sender,
        message: &Message,
        limit: Duration,
    ) -> Result<String, Failure> {
        let departed = Departed::default();
        let about = message.export_id.map(|id| tag("exportbox-export", id));
        let tags = about.into_iter().chain([tag("exportbox-delivery", message.delivery_id)]).collect::<Result<Vec<_>, _>>()?;
        let raw = RawMessage::builder().data(Blob::new(mail.formatted())).build().map_err(not_built)?;
        let sent = self
            .client
            .send_email()
            // The bare address: the name is in the MIME, encoded.
            .from_email_address(sender.address())
            .destination(Destination::builder().to_addresses(message.to.reveal()).build())
            .content(EmailContent::builder().raw(raw).build())
            .set_email_tags(Some(tags))
            .set_configuration_set_name(self.configuration_set.clone())
            .customize()
            .config_override(once_within(limit))
            .interceptor(departed.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => Ok(answer.message_id.unwrap_or_else(|| message.message_id(sender))),
            Err(error) => {
                let correspondents = Correspondents { sender: sender.address(), recipient: message.to.reveal() };
                Err(classify::ses(&error, departed.is_true(), correspondents))
            }
        }
    }
}

/// One attempt, over after this long.
fn once_within(limit: Duration) -> aws_sdk_sesv2::config::Builder {
    aws_sdk_sesv2::Config::builder().retry_config(RetryConfig::disabled()).timeout_config(
        TimeoutConfig::builder()
            .operation_timeout(limit)
            .operation_attempt_timeout(limit)
            .connect_timeout(CONNECT_TIMEOUT.min(limit))
            .read_timeout(limit)
            .build(),
    )
}

/// An id as a tag: events about the mail carry it, also when SES's answer was lost.
fn tag(name: &str, id: Uuid) -> Result<MessageTag, Failure> {
    MessageTag::builder().name(name).value(id.to_string()).build().map_err(not_built)
}

fn not_built(error: aws_sdk_sesv2::error::BuildError) -> Failure {
    Failure::new(FailureClass::Internal, Verdict::Bury, "The request to SES cannot be built.").with_detail(error)
}

/// Whether the request was handed to the connection. Until then a mail cannot have been sent, whatever the error is called.
#[derive(Debug, Clone, Default)]
struct Departed(Arc<AtomicBool>);

impl Departed {
    fn is_true(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Intercept for Departed {
    fn name(&self) -> &'static str {
        "Departed"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}
