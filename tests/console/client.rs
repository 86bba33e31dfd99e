//! Clients of the console: HTTP requests, and a page's end of the WebSocket.

#![allow(dead_code)] // two test programs use some of the functions each

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use promptseg::pixels::decode_compressed;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::bench::PATIENCE;

/// Time after which a page that waits sends a ping. The console closes a connection on which it gets no message, and a search
/// takes minutes under emulation.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Sends a request with these lines, and returns the whole response.
pub async fn request(address: SocketAddr, lines: &[&str], body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut text = format!("{}\r\n", lines[0]);
    let has_host = lines.iter().any(|line| line.starts_with("Host:"));
    if !has_host {
        text += &format!("Host: {address}\r\n");
    }
    lines[1..].iter().for_each(|line| text += &format!("{line}\r\n"));
    text += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut response)).await.unwrap().unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

pub async fn get(address: SocketAddr, path: &str) -> String {
    request(address, &[&format!("GET {path} HTTP/1.1")], "").await
}

/// Returns the value of a header of a response.
pub fn header<'a>(response: &'a str, name: &str) -> &'a str {
    let lines = response.split("\r\n\r\n").next().unwrap_or_default().lines();
    let mut values = lines.filter_map(|line| line.split_once(": ")).filter(|(n, _)| n.eq_ignore_ascii_case(name));
    values.next().map_or("", |(_, value)| value)
}

/// Returns the cookie of a token.
pub async fn cookie(address: SocketAddr, token: &str) -> String {
    let response = get(address, &format!("/?token={token}")).await;
    header(&response, "set-cookie").split(';').next().unwrap().to_owned()
}

/// A page's end of the WebSocket.
pub struct Page {
    socket: WebSocketStream<TcpStream>,
    next: u32,
    /// Time of the last message to the console.
    sent: Instant,
    /// Pictures that arrived while a text was awaited.
    pictures: VecDeque<Picture>,
    pub hello: Value,
}

/// A picture as the page gets it.
pub struct Picture {
    pub header: Value,
    /// Width and height of the JPEG, and the red level at its middle.
    pub size: (u32, u32),
    pub red: u8,
}

pub enum Received {
    Text(Value),
    Picture(Picture),
    /// The connection ended, with the reason.
    Closed(String),
}

impl Page {
    /// Connects with additional headers. Returns the status of a refusal.
    pub async fn connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Page, u16> {
        Page::connect_over(TcpStream::connect(address).await.unwrap(), headers).await
    }

    /// Connects over a stream. Returns the status of a refusal.
    pub async fn connect_over(stream: TcpStream, headers: &[(&'static str, &str)]) -> Result<Page, u16> {
        let address = stream.peer_addr().unwrap();
        let mut request = format!("ws://{address}/socket").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let socket = match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(response)) => return Err(response.status().as_u16()),
            Err(e) => panic!("{e}"),
        };
        let mut page = Page { socket, next: 1, sent: Instant::now(), pictures: VecDeque::new(), hello: Value::Null };
        page.hello = page.text("hello").await;
        Ok(page)
    }

    /// Connects and shows the first camera.
    pub async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Page {
        let mut page = Page::connect(address, headers).await.unwrap();
        page.view(0).await;
        page
    }

    pub async fn view(&mut self, camera: usize) {
        self.send(json!({"type": "view", "camera": camera, "width": 160, "height": 160, "details": false})).await;
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    /// Sends a text. The console may have closed the connection.
    pub async fn send_text(&mut self, text: String) {
        self.sent = Instant::now();
        let _ = self.socket.send(Message::Text(text.into())).await;
    }

    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::Binary(bytes.into())).await;
    }

    pub async fn receive(&mut self) -> Received {
        let since = Instant::now();
        loop {
            if self.sent.elapsed() >= PING_PERIOD {
                self.send(json!({"type": "ping", "sent": 0.0})).await;
            }
            let Ok(message) = timeout(PING_PERIOD, self.socket.next()).await else {
                assert!(since.elapsed() < PATIENCE, "no message");
                continue;
            };
            return match message {
                Some(Ok(Message::Text(text))) => Received::Text(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Binary(bytes))) => Received::Picture(picture(&bytes)),
                Some(Ok(Message::Close(frame))) => {
                    Received::Closed(frame.map_or(String::new(), |f| f.reason.to_string()))
                }
                Some(Err(e)) => Received::Closed(e.to_string()),
                None => Received::Closed("end of the stream".into()),
                Some(Ok(_)) => continue,
            };
        }
    }

    /// Returns the next text. Pictures before it are kept.
    async fn any_text(&mut self) -> Value {
        loop {
            match self.receive().await {
                Received::Text(value) => return value,
                Received::Picture(picture) => self.pictures.push_back(picture),
                Received::Closed(reason) => panic!("closed instead of a text: {reason}"),
            }
        }
    }

    /// Returns the next text of a type.
    pub async fn text(&mut self, kind: &str) -> Value {
        self.text_where(kind, |value| value["type"] == kind).await
    }

    async fn text_where(&mut self, description: &str, mut is_wanted: impl FnMut(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let value = self.any_text().await;
            if is_wanted(&value) {
                return value;
            }
            assert!(since.elapsed() < PATIENCE, "no {description}");
        }
    }

    /// Returns the masks of a picture and the answer to a request, which come in any order.
    pub async fn masks_and_answer(&mut self, picture: &Picture, id: u32) -> (Value, Value) {
        let (stamp, mut masks, mut answer) = (picture.header["stamp"].clone(), None, None);
        self.text_where("masks and answer", |value| {
            if value["type"] == "masks" && value["stamp"] == stamp {
                masks = Some(value.clone());
            } else if value["type"] == "answer" && value["id"] == id {
                answer = Some(value.clone());
            }
            masks.is_some() && answer.is_some()
        })
        .await;
        (masks.unwrap_or_default(), answer.unwrap_or_default())
    }

    /// Returns the next picture, and says that it was drawn.
    pub async fn picture(&mut self) -> Picture {
        let picture = self.picture_in_flight().await;
        self.send(json!({"type": "drawn", "picture": picture.header["picture"]})).await;
        picture
    }

    /// Returns the next picture, and leaves it in flight.
    pub async fn picture_in_flight(&mut self) -> Picture {
        if let Some(picture) = self.pictures.pop_front() {
            return picture;
        }
        loop {
            match self.receive().await {
                Received::Picture(picture) => return picture,
                Received::Closed(reason) => panic!("closed instead of a picture: {reason}"),
                Received::Text(_) => {}
            }
        }
    }

    /// Sends a request, and returns its number.
    pub async fn ask(&mut self, camera: usize, action: Value) -> u32 {
        let id = self.next;
        self.next += 1;
        self.send(json!({"type": "ask", "id": id, "camera": camera, "action": action})).await;
        id
    }

    /// Sends a request, and returns its answer.
    pub async fn answer(&mut self, action: Value) -> Value {
        let id = self.ask(0, action).await;
        self.text_where("answer", |value| value["type"] == "answer" && value["id"] == id).await
    }
}

fn picture(bytes: &[u8]) -> Picture {
    let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[4..4 + length]).unwrap();
    let image = decode_compressed(&bytes[4 + length..], "jpeg").unwrap();
    let (width, height) = image.dimensions();
    Picture { header, size: (width, height), red: image.get_pixel(width / 2, height / 2)[0] }
}

/// Returns a click on a picture. Object 0 starts an object.
pub fn click(picture: &Picture, object: u64, x: u32, y: u32) -> Value {
    json!({"do": "prompt", "stamp": picture.header["stamp"], "object": object, "points": [[x, y, true]]})
}
