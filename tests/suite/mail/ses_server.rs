//! A few lines of HTTP that answer `SendEmail` as scripted and keep what they got.

use std::sync::{Arc, Mutex};

use base64::Engine;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with a request that has been read to its end.
#[derive(Clone)]
pub enum Answer {
    /// Accept the mail under this id.
    Accept(&'static str),
    /// Status, error code (none when empty), text.
    Refuse(u16, &'static str, String),
    /// Status and body as they are, with a `Retry-After` of so many seconds.
    Raw(u16, &'static str, Option<u32>),
    /// Close the connection without an answer.
    Cut,
    /// Never answer.
    Silence,
}

pub struct SesServer {
    pub port: u16,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl SesServer {
    pub async fn start(answer: Answer) -> SesServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), Arc::clone(&kept)));
            }
        });
        SesServer { port, requests }
    }

    /// The bodies of all `SendEmail` requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().expect("no test panics with it").clone()
    }

    /// The MIME of the only mail.
    pub fn mime(&self) -> Vec<u8> {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "one request");
        let data = requests[0]["Content"]["Raw"]["Data"].as_str().expect("raw content");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, requests: Arc<Mutex<Vec<Value>>>) {
    let Some(body) = read_request(&mut stream).await else { return };
    requests.lock().expect("no test panics with it").push(serde_json::from_slice(&body).expect("JSON"));
    let (status, code, body, wait) = match answer {
        Answer::Accept(id) => (200, "", format!(r#"{{"MessageId":"{id}"}}"#), None),
        Answer::Refuse(status, code, text) => (status, code, serde_json::json!({ "message": text }).to_string(), None),
        Answer::Raw(status, body, wait) => (status, "", body.to_owned(), wait),
        Answer::Cut => return,
        Answer::Silence => return std::future::pending().await,
    };
    let mut head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !code.is_empty() {
        head += &format!("x-amzn-errortype: {code}\r\n");
    }
    if let Some(seconds) = wait {
        head += &format!("retry-after: {seconds}\r\n");
    }
    // The client may be gone already; its test sees to that.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            assert!(head.starts_with("post /v2/email/outbound-emails "), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.parse().ok());
            let body = end + 4;
            let total = body + length.unwrap_or(0);
            if request.len() >= total {
                return Some(request[body..total].to_vec());
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
