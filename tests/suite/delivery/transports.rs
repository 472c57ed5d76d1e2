//! The two other ways that a mail can go, from the request to the parsed mail.

use super::{FILE, QUERY};
use crate::harness::{World, read_mail};
use crate::mail::smtp_server::{SmtpServer, Step, Turn};

async fn over_smtp(script: Option<(Step, Turn)>) -> (World, SmtpServer) {
    let mut world = World::new().await;
    let server = SmtpServer::start(&["8BITMIME"], script).await;
    world.settings.mail = format!("smtp://127.0.0.1:{}?tls=none", server.port).parse().unwrap();
    (world, server)
}

#[tokio::test]
async fn mails_leave_over_smtp() {
    let (world, server) = over_smtp(None).await;
    let id = world.request_with(QUERY, &["ann@example.com", "bob@example.com"], "subject => 'Grüße'").await;
    world.complete(&[id]).await;
    assert_eq!(world.statuses(id).await, ["ann@example.com accepted", "bob@example.com accepted"]);
    assert_eq!(world.text("select string_agg(distinct provider, ',') from exportbox.deliveries").await, "smtp");
    let mut to = Vec::new();
    for raw in server.mails() {
        let mail = read_mail(&raw);
        assert_eq!(mail.subject, "Grüße");
        assert_eq!(reqwest::get(&mail.links[0]).await.unwrap().bytes().await.unwrap(), FILE);
        to.push(mail.headers["to"].clone());
        let known = format!("<{}@example.com>", mail.headers["x-exportbox-delivery"]);
        assert_eq!(mail.headers["message-id"], known);
    }
    to.sort();
    assert_eq!(to, ["ann@example.com", "bob@example.com"]);
    assert_eq!(world.ses.faults().hits("SendEmail"), 0);
}

#[tokio::test]
async fn a_mail_whose_reply_is_lost_over_smtp_is_sent_again_under_the_same_message_id() {
    let (mut world, server) = over_smtp(Some((Step::End, Turn::Cut))).await;
    let id = world.request(QUERY, &["ann@example.com"]).await;
    world.drain().await;
    assert_eq!(world.statuses(id).await, ["ann@example.com unknown mail_unknown"]);
    let other = SmtpServer::start(&[], None).await;
    world.settings.mail = format!("smtp://127.0.0.1:{}?tls=none", other.port).parse().unwrap();
    world.let_time_pass().await;
    world.complete(&[id]).await;
    let message_id =
        |server: &SmtpServer| server.mails().iter().map(|raw| read_mail(raw).headers["message-id"].clone()).collect::<Vec<_>>();
    assert_eq!(message_id(&server).len(), 1);
    assert_eq!(message_id(&server), message_id(&other));
}

#[tokio::test]
async fn an_address_that_the_mail_server_refuses_dies_alone() {
    let (world, server) = over_smtp(Some((Step::Recipient, Turn::Say("550 5.1.1 No such user here")))).await;
    let id = world.request(QUERY, &["ann@example.com"]).await;
    let (tally, _) = world.drain().await;
    assert_eq!((tally.dead, server.mails().len()), (1, 0));
    assert_eq!(world.statuses(id).await, ["ann@example.com rejected mail_rejected"]);
}

#[tokio::test]
async fn mails_become_files() {
    let mut world = World::new().await;
    let dir = world.dir().join("outgoing/mails");
    world.settings.mail = format!("file:{}", dir.display()).parse().unwrap();
    let id = world.request(QUERY, &["ann@example.com", "bob@example.com"]).await;
    world.complete(&[id]).await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let mail = read_mail(&std::fs::read(&path).unwrap());
        assert_eq!(reqwest::get(&mail.links[0]).await.unwrap().bytes().await.unwrap(), FILE);
        names.push(path.file_name().unwrap().to_str().unwrap().to_string());
    }
    names.sort();
    let known = "select string_agg(message_id, ' ' order by message_id) from exportbox.deliveries where provider = 'file'";
    assert_eq!(world.text(known).await, names.join(" "));
    assert_eq!(names.len(), 2);
}
