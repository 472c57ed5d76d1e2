//! Amazon SES v2: the finished MIME as raw content.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
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

/// The longest wait for a connection: it is over before the time that SES itself needs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Ses {
    pub(super) client: aws_sdk_sesv2::Client,
    configuration_set: Option<String>,
}

impl Ses {
    pub(super) fn new(client: aws_sdk_sesv2::Client, configuration_set: Option<String>) -> Ses {
        Ses { client, configuration_set }
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
        let raw = RawMessage::builder().data(Blob::new(mail.formatted())).build().map_err(not_built)?;
        let sent = self
            .client
            .send_email()
            // The bare address: the name is in the MIME, encoded.
            .from_email_address(sender.address())
            .destination(Destination::builder().to_addresses(message.to.reveal()).build())
            .content(EmailContent::builder().raw(raw).build())
            .email_tags(tag("exportbox-export", message.export_id)?)
            .email_tags(tag("exportbox-delivery", message.delivery_id)?)
            .set_configuration_set_name(self.configuration_set.clone())
            .customize()
            .config_override(
                aws_sdk_sesv2::Config::builder().retry_config(RetryConfig::disabled()).timeout_config(
                    TimeoutConfig::builder()
                        .operation_timeout(limit)
                        .operation_attempt_timeout(limit)
                        .connect_timeout(CONNECT_TIMEOUT.min(limit))
                        .read_timeout(limit)
                        .build(),
                ),
            )
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
