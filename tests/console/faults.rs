//! Clients that send garbage, do not read, or vanish, cost the others nothing.

use promptseg::console::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::bench::{Bench, PATIENCE, bench};
use crate::client::{Page, Received, click};

/// Checks that another page gets a picture and an answer.
async fn assert_serves(b: &Bench, sec: i32) {
    b.frame(sec).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    let picture = page.picture().await;
    assert_eq!(picture.header["stamp"], json!([sec, 0]));
    assert_eq!(page.answer(click(&picture, 0, 10, 10)).await["ok"], true);
}

/// Waits until the console closes a connection. Returns the reason and the notices before it.
async fn closed(page: &mut Page) -> (String, Vec<String>) {
    let mut notices = Vec::new();
    loop {
        match page.receive().await {
            Received::Closed(reason) => return (reason, notices),
            Received::Text(text) if text["type"] == "notice" => notices.push(text["text"].to_string()),
            Received::Text(_) | Received::Picture(_) => {}
        }
    }
}

#[tokio::test]
async fn garbage_is_answered_and_then_ends_the_connection() {
    let b = bench(Settings::default());
    let mut page = Page::open(b.console.address(), &[]).await;
    page.send_text("nonsense".into()).await;
    let notice = page.text("notice").await;
    assert!(notice["text"].as_str().unwrap().contains("did not understand a message: expected"), "{notice}");
    page.send_bytes(vec![0xff; 100]).await;
    assert!(page.text("notice").await["text"].as_str().unwrap().contains("100 bytes that are no text"));
    for _ in 0..30 {
        page.send_text(r#"{"type": "shutdown"}"#.into()).await;
    }
    let (reason, _) = closed(&mut page).await;
    assert!(reason.starts_with("21 messages were not understood"), "{reason}");
    assert_serves(&b, 1).await;
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection() {
    let b = bench(Settings::default());
    let mut page = Page::open(b.console.address(), &[]).await;
    page.send_text("x".repeat(1 << 20)).await;
    let (reason, notices) = closed(&mut page).await;
    assert!(notices.is_empty(), "read before it was refused: {notices:?} {reason}");
    assert_serves(&b, 1).await;
}

#[tokio::test]
async fn a_page_that_does_not_read_stops_nobody_and_is_disconnected() {
    let b = bench(Settings::default());
    // A small buffer is full soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut silent = Page::connect_over(socket.connect(b.console.address()).await.unwrap(), &[]).await.unwrap();
    silent.send(json!({"type": "view", "camera": 0, "width": 4000, "height": 4000, "details": false})).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    // The silent page says that it drew every picture, so that the console sends pictures until the connection is full. The
    // other page gets pictures all the time.
    let (since, mut both_seen) = (std::time::Instant::now(), false);
    for sec in 1.. {
        assert!(since.elapsed() < 20 * PATIENCE, "the page that does not read is still connected: {both_seen}");
        b.noise(sec).await;
        // The picture before, too, in case that this one is still being encoded.
        for picture in [sec - 1, sec] {
            silent.send(json!({"type": "drawn", "picture": picture})).await;
        }
        let clients = next_picture(&mut page).await;
        both_seen |= clients == Some(2);
        if both_seen && clients == Some(1) {
            break;
        }
    }
    assert_serves(&b, 100_000).await;
}

/// Takes messages up to the next picture. Returns the number of clients of a status before it.
async fn next_picture(page: &mut Page) -> Option<u64> {
    let mut clients = None;
    loop {
        match page.receive().await {
            Received::Picture(picture) => {
                page.send(json!({"type": "drawn", "picture": picture.header["picture"]})).await;
                return clients;
            }
            Received::Text(text) if text["type"] == "status" => clients = text["clients"].as_u64(),
            Received::Text(_) => {}
            Received::Closed(reason) => panic!("the page that reads was disconnected: {reason}"),
        }
    }
}

#[tokio::test]
async fn pages_that_vanish_leave_their_places() {
    let b = bench(Settings { max_clients: 2, ..Settings::default() });
    let address = b.console.address();
    let pages = [Page::open(address, &[]).await, Page::open(address, &[]).await];
    assert_eq!(Page::connect(address, &[]).await.err(), Some(503));
    drop(pages);
    let since = std::time::Instant::now();
    while Page::connect(address, &[]).await.is_err() {
        assert!(since.elapsed() < PATIENCE, "the places are not free");
    }
    assert_serves(&b, 1).await;
}

#[tokio::test]
async fn requests_that_are_no_http_are_dropped() {
    let b = bench(Settings::default());
    for bytes in [&b"\x00\xff\x16\x03\x01"[..], b"GET / HTTP/9.9\r\n\r\n", &[b'a'; 70_000], b"GET /"] {
        let mut stream = TcpStream::connect(b.console.address()).await.unwrap();
        // The console may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    }
    assert_serves(&b, 1).await;
}
