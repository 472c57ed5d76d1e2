//! Verbs of tests about mails: what became of each recipient, who signs links, and time that passes.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use exportbox::store::{Store, StoreOptions};
use uuid::Uuid;

use super::rows::HOLDS;
use super::{ACCESS_KEY, ReadMail, SECRET_KEY, World, read_mail};

impl World {
    /// Whoever waits for a later instant is due now, probes of a hold too.
    pub async fn let_time_pass(&self) {
        self.let_back_offs_end().await;
        self.set_probes("now()").await;
    }

    /// Deliveries wait until a person lets them go.
    pub async fn hold_deliveries(&self) {
        self.hold("message", "test", "A test.", "null").await;
    }

    /// The person does.
    pub async fn let_deliveries_go(&self) {
        self.sql(&format!("delete from {HOLDS} where scope = 'message'")).await;
    }

    /// `recipient status class` of each mail of an export, by recipient.
    pub async fn statuses(&self, id: Uuid) -> Vec<String> {
        let statement =
            "select concat_ws(' ', recipient, status, error_class) from exportbox.deliveries where export_id = $1 order by recipient";
        self.admin.query(statement, &[&id]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// How often each kind of event happened, such as `unknown 1`, by kind.
    pub async fn events(&self) -> Vec<String> {
        let statement = "select format('%s %s', kind, count(*)) from exportbox.events group by kind order by kind";
        self.admin.query(statement, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// The mails to an address, oldest first, parsed.
    pub fn mails_to(&self, address: &str) -> Vec<ReadMail> {
        self.mails().iter().filter(|mail| mail.to == [address]).map(|mail| read_mail(&mail.raw)).collect()
    }

    /// From now on links are signed with credentials that end after so long.
    pub fn sign_with_credentials_for(&mut self, life: Duration) {
        let ends = std::time::SystemTime::now() + life;
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, Some(ends), "test");
        self.s3_config = self.s3_config.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    }

    /// The SDK's settings for S3, as the daemon has them.
    pub fn store_config(&self) -> aws_config::SdkConfig {
        self.s3_config.clone()
    }

    /// The bytes of an object as a link gives them.
    pub async fn downloaded(&self, key: &str) -> Vec<u8> {
        let link = self.store().link(key, Duration::from_secs(60), "file", "text/csv", chrono::Utc::now(), None).await.unwrap();
        reqwest::get(link.url.reveal()).await.unwrap().error_for_status().unwrap().bytes().await.unwrap().to_vec()
    }

    /// The store as the daemon has it.
    pub fn store(&self) -> Store {
        Store::new(&self.s3_config, StoreOptions { bucket: "exports".into(), public_endpoint: None, object_life: None })
    }
}
