//! Pictures: the newest one, one in flight for each client, at the size of the viewport.

use promptseg::console::Settings;
use serde_json::{Value, json};

use crate::bench::{HEIGHT, WIDTH, bench, until};
use crate::client::{Page, Received, click};

#[tokio::test]
async fn a_picture_has_its_stamp_and_the_size_of_the_viewport() {
    let b = bench(Settings::default());
    b.frame(77).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    assert_eq!(page.hello["cameras"], json!(["front", "rear"]));
    assert_eq!(page.hello["stale_after"], 2000);
    let picture = page.picture().await;
    assert_eq!(picture.header["stamp"], json!([77, 0]));
    assert_eq!(picture.header["size"], json!([WIDTH, HEIGHT]));
    // 160 pixels are rounded up to a multiple of 64.
    assert_eq!(picture.size, (192, 144));
    assert!(picture.red.abs_diff(77) <= 3, "{}", picture.red);
}

#[tokio::test]
async fn a_slow_browser_gets_the_newest_picture_and_no_queue() {
    let b = bench(Settings::default());
    b.frame(1).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    let first = page.picture_in_flight().await;
    for sec in 2..=9 {
        b.frame(sec).await;
    }
    // While the first one is not drawn no other one comes: the answer to a ping is the next message except the status.
    page.send(json!({"type": "ping", "sent": 5.0})).await;
    loop {
        match page.receive().await {
            Received::Picture(picture) => panic!("picture {} in flight too", picture.header["picture"]),
            Received::Text(text) if text["type"] == "pong" => break,
            Received::Text(_) => {}
            Received::Closed(reason) => panic!("closed: {reason}"),
        }
    }
    page.send(json!({"type": "drawn", "picture": first.header["picture"]})).await;
    assert_eq!(page.picture().await.header["stamp"], json!([9, 0]));
}

#[tokio::test]
async fn a_held_picture_stays_and_is_prompted() {
    let b = bench(Settings { stale_after: Some(std::time::Duration::from_millis(1)), ..Settings::default() });
    b.frame(1).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    let picture = page.picture().await;
    page.send(json!({"type": "view", "camera": 0, "width": 160, "height": 160, "details": false,
        "held": picture.header["picture"]}))
        .await;
    for sec in 2..=9 {
        b.frame(sec).await;
    }
    let stale = page.answer(click(&picture, 0, 10, 10)).await;
    let reason = stale["text"].as_str().unwrap();
    assert!(
        stale["ok"] == false && reason.contains("clicks are refused after 0.0 s (console.stale_after)"),
        "{reason}"
    );
    let mut held = click(&picture, 0, 10, 10);
    held["held"] = true.into();
    let id = page.ask(0, held).await;
    let (masks, answer) = page.masks_and_answer(&picture, id).await;
    assert!(masks["objects"][0]["id"] == 1 && answer["ok"] == true, "{masks} {answer}");
    // A change that concerns all frames is seen on the held picture.
    page.send(json!({"type": "ask", "id": 77, "camera": 0, "shown": [1, 0], "action": {"do": "clear"}})).await;
    let (masks, _) = page.masks_and_answer(&picture, 77).await;
    assert_eq!(masks["objects"], json!([]));
}

#[tokio::test]
async fn a_held_picture_gets_more_pixels_while_a_newer_one_waits() {
    let b = bench(Settings::default());
    b.frame(1).await;
    let mut page = Page::connect(b.console.address(), &[]).await.unwrap();
    let view = |side: u32, held: Option<&Value>| json!({"type": "view", "camera": 0, "width": side, "height": side, "details": false, "held": held});
    page.send(view(64, None)).await;
    let held = page.picture().await;
    b.frame(2).await;
    let waiting = page.picture().await;
    assert_eq!((held.size, waiting.size), ((64, 48), (64, 48)));
    page.send(view(160, Some(&held.header["picture"]))).await;
    let larger = page.picture().await;
    assert_eq!((&larger.header["stamp"], larger.size), (&json!([1, 0]), (192, 144)));
    page.send(view(160, None)).await;
    let newest = page.picture().await;
    assert_eq!((&newest.header["stamp"], newest.size), (&json!([2, 0]), (192, 144)));
}

#[tokio::test]
async fn a_camera_that_is_not_active_says_why() {
    let b = bench(Settings::default());
    let mut page = Page::open(b.console.address(), &[]).await;
    page.view(1).await;
    let status = loop {
        let status = page.text("status").await;
        if status["camera"] == 1 {
            break status;
        }
    };
    assert_eq!(status["text"], "camera 1 sleeps");
    let id = page.ask(1, json!({"do": "undo"})).await;
    let answer = page.text("answer").await;
    assert_eq!((&answer["id"], &answer["ok"], &answer["text"]), (&json!(id), &json!(false), &json!("camera 1 sleeps")));
    page.view(7).await;
    assert!(page.text("notice").await["text"].as_str().unwrap().contains("no camera 7; there are 2"));
}

#[tokio::test]
async fn a_page_that_shows_details_gets_the_words_of_diagnostics() {
    let b = bench(Settings::default());
    let mut page = Page::open(b.console.address(), &[]).await;
    page.send(json!({"type": "view", "camera": 0, "width": 160, "height": 160, "details": true})).await;
    let status = loop {
        let status = page.text("status").await;
        if status["values"] != json!([]) {
            break status;
        }
    };
    let keys: Vec<_> = status["values"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    for key in ["model", "encoder provider", "images encoded", "prompt to masks p95 (ms)"] {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    assert_eq!(status["clients"], 1);
}

#[tokio::test]
async fn viewers_make_the_frames_needed() {
    let b = bench(Settings::default());
    assert!(!b.console.has_viewers(0));
    let mut page = Page::open(b.console.address(), &[]).await;
    until(|| b.console.has_viewers(0)).await;
    assert!(!b.console.has_viewers(1));
    // Behind another tab a page shows nothing.
    page.send(json!({"type": "view", "camera": 0, "width": 0, "height": 0, "details": false})).await;
    until(|| !b.console.has_viewers(0)).await;
    page.view(0).await;
    until(|| b.console.has_viewers(0)).await;
    drop(page);
    until(|| !b.console.has_viewers(0)).await;
}

#[tokio::test]
async fn a_page_that_zooms_in_gets_the_same_picture_with_more_pixels() {
    let b = bench(Settings::default());
    b.frame(1).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    let first = page.picture().await;
    page.send(json!({"type": "view", "camera": 0, "width": 900, "height": 900, "details": false})).await;
    let second = page.picture().await;
    assert_eq!((first.size, second.size), ((192, 144), (WIDTH, HEIGHT)));
    assert_eq!(first.header["picture"], second.header["picture"]);
}
