//! `promptseg console` from the outside: the page's messages on files, and the saved masks.

#[path = "console/client.rs"]
mod client;
mod scratch;

/// Time-outs of the client. Under emulation a search for everything takes minutes.
mod bench {
    pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);
}

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use client::{Page, click};
use image::{Rgb, RgbImage};
use scratch::Scratch;
use serde_json::json;

/// A running `promptseg console`, which ends with the test.
struct Console {
    process: Child,
    address: SocketAddr,
}

impl Console {
    fn start(folder: &Path, arguments: &[&str]) -> Console {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
        command.current_dir(folder).arg("console").args(arguments);
        command.args(["--address", "127.0.0.1:0", "--threads", "1", "--providers", "cpu"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        Console { address: address.parse().unwrap_or_else(|_| panic!("no address in {line:?}")), process }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes a grey picture with a red square.
fn draw(file: &Path, left: u32) {
    let mut picture = RgbImage::from_pixel(320, 240, Rgb([120, 120, 120]));
    for (x, y) in (left..left + 80).flat_map(|x| (60..140).map(move |y| (x, y))) {
        picture.put_pixel(x, y, Rgb([200, 30, 30]));
    }
    picture.save(file).unwrap();
}

#[tokio::test]
async fn a_folder_is_clicked_through_and_its_masks_are_saved_beside_it() {
    let folder = Scratch::new("cli-console");
    draw(&folder.0.join("a.png"), 100);
    draw(&folder.0.join("b.png"), 200);
    let console = Console::start(&folder.0, &["."]);
    let mut page = Page::open(console.address, &[]).await;
    assert_eq!(page.hello["timeline"], json!({"index": 0, "count": 2, "name": "a.png", "rate": null}));
    assert_eq!(page.hello["stale_after"], json!(null), "files do not grow old");

    let first = page.picture().await;
    let empty = page.answer(json!({"do": "save"})).await;
    assert!(empty["ok"] == false && empty["text"].as_str().unwrap().contains("no masks to save"), "{empty}");
    assert_eq!(page.answer(click(&first, 0, 140, 100)).await["ok"], true);
    let saved = save_masks(&mut page).await;
    assert!(saved["text"].as_str().unwrap().starts_with("saved 1 masks: "), "{saved}");
    let mask = image::open(folder.0.join("a_mask.png")).unwrap().into_luma8();
    assert_eq!((mask.dimensions(), mask.get_pixel(140, 100)[0], mask.get_pixel(20, 20)[0]), ((320, 240), 255, 0));
    // The same run may save again.
    assert_eq!(page.answer(json!({"do": "save"})).await["ok"], true);

    let shown = page.answer(json!({"do": "show", "index": 1})).await;
    assert_eq!(shown["timeline"]["name"], "b.png");
    let second = loop {
        let picture = page.picture().await;
        if picture.header["stamp"] != first.header["stamp"] {
            break picture;
        }
    };
    assert_eq!(second.header["objects"], json!([]), "objects end with their photograph");
    let wrong = page.answer(json!({"do": "show", "index": 2})).await;
    assert!(wrong["text"].as_str().unwrap().contains("picture 3 of 2"), "{wrong}");

    // Another run keeps the masks, and does not take them for pictures.
    drop(console);
    let console = Console::start(&folder.0, &["."]);
    let mut page = Page::open(console.address, &[]).await;
    assert_eq!(page.hello["timeline"]["count"], 2);
    let picture = page.picture().await;
    page.answer(click(&picture, 0, 140, 100)).await;
    let kept = save_masks(&mut page).await;
    assert!(kept["ok"] == false && kept["text"].as_str().unwrap().contains("exists and is not replaced"), "{kept}");
}

/// Writes a video of 8 frames at 4 frames a second. A red square moves from left to right, and covers the middle in frames 3 to 6.
fn film(folder: &Path) {
    (0..8).for_each(|i| draw(&folder.join(format!("{i}.png")), 40 + 20 * i));
    let arguments = ["-v", "error", "-framerate", "4", "-i", "%d.png", "-c:v", "ffv1", "drive.mkv"];
    let status = Command::new("ffmpeg").current_dir(folder).args(arguments).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "ffmpeg must be on the PATH");
}

#[tokio::test]
async fn a_video_is_shown_in_any_order_and_its_masks_have_the_number_of_the_frame() {
    let folder = Scratch::new("cli-console-video");
    film(&folder.0);
    let console = Console::start(&folder.0, &["drive.mkv", "--out", "masks"]);
    let mut page = Page::open(console.address, &[]).await;
    assert_eq!(page.hello["timeline"], json!({"index": 0, "count": 8, "name": "drive.mkv", "rate": 4.0}));
    let mut shown = page.picture().await;
    assert!(shown.red.abs_diff(120) < 9, "grey in the middle: {}", shown.red);
    // Forward, backward within the frames that are kept, and to the end.
    for (index, red) in [(5, 200), (1, 120), (7, 120), (4, 200)] {
        let answer = page.answer(json!({"do": "show", "index": index})).await;
        assert_eq!(answer["timeline"]["index"], index, "{answer}");
        shown = loop {
            let picture = page.picture().await;
            if picture.header["stamp"] != shown.header["stamp"] {
                break picture;
            }
        };
        assert!(shown.red.abs_diff(red) < 9, "frame {index}: {}, expected {red}", shown.red);
    }
    assert_eq!(page.answer(click(&shown, 0, 160, 100)).await["ok"], true);
    assert_eq!(save_masks(&mut page).await["ok"], true);
    let mask = image::open(folder.0.join("masks/drive_000004_mask.png")).unwrap().into_luma8();
    assert_eq!((mask.get_pixel(160, 100)[0], mask.get_pixel(20, 20)[0]), (255, 0));
    let beyond = page.answer(json!({"do": "show", "index": 8})).await;
    assert!(beyond["text"].as_str().unwrap().contains("picture 9 of 8"), "{beyond}");
}

/// Saves until there are masks, because the answer to a click may come before its masks. Returns the last answer.
async fn save_masks(page: &mut Page) -> serde_json::Value {
    let end = Instant::now() + bench::PATIENCE;
    loop {
        let answer = page.answer(json!({"do": "save"})).await;
        if !answer["text"].as_str().unwrap().contains("no masks to save") {
            return answer;
        }
        assert!(Instant::now() < end, "{answer}");
    }
}

/// Saves until the file of prompts has that content, because the answer to a click may come before its masks.
async fn saved_prompts(page: &mut Page, file: &Path, expected: &serde_json::Value) {
    let end = Instant::now() + bench::PATIENCE;
    loop {
        let answer = page.answer(json!({"do": "save"})).await;
        let content = std::fs::read(file).ok().and_then(|content| serde_json::from_slice(&content).ok());
        if content.as_ref() == Some(expected) {
            assert_eq!(answer["text"], "saved the prompts of 1 objects: clicks/prompts.json");
            return;
        }
        assert!(Instant::now() < end, "{answer}: {content:?}, expected {expected}");
    }
}

#[tokio::test]
async fn the_prompts_of_a_session_are_saved_by_frame_for_label() {
    let folder = Scratch::new("cli-console-prompts");
    std::fs::create_dir(folder.0.join("shots")).unwrap();
    (0..3).for_each(|i| draw(&folder.0.join(format!("shots/{i}.png")), 60 + 40 * i));
    let console = Console::start(&folder.0, &["shots", "--format", "prompts", "--out", "clicks"]);
    let mut page = Page::open(console.address, &[]).await;
    let first = page.picture().await;
    let empty = page.answer(json!({"do": "save"})).await;
    assert!(empty["ok"] == false && empty["text"].as_str().unwrap().contains("no prompts to save"), "{empty}");
    assert_eq!(page.answer(click(&first, 0, 100, 100)).await["ok"], true);
    let file = folder.0.join("clicks/prompts.json");
    let first_click = json!({"frame": 0, "object": 1, "class": "", "points": [[100.0, 100.0]]});
    saved_prompts(&mut page, &file, &json!([first_click])).await;
    page.answer(json!({"do": "show", "index": 2})).await;
    let third = loop {
        let picture = page.picture().await;
        if picture.header["stamp"] != first.header["stamp"] {
            break picture;
        }
    };
    // The object lives on, and a further click corrects it.
    assert_eq!(page.answer(click(&third, 1, 180, 100)).await["ok"], true);
    let second_click = json!({"frame": 2, "object": 1, "class": "", "points": [[180.0, 100.0]]});
    saved_prompts(&mut page, &file, &json!([first_click, second_click])).await;
    drop(console);
    let mut label = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    label.current_dir(&folder.0).args([
        "label",
        "shots",
        "--prompts",
        "clicks/prompts.json",
        "--out",
        "out",
        "--threads",
        "1",
    ]);
    let output = label.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (frame, left) in [(0, 60), (2, 140)] {
        let record = std::fs::read(folder.0.join(format!("out/frames/{frame:06}.json"))).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let objects = record["objects"].as_array().unwrap();
        assert_eq!((objects.len(), &objects[0]["object"], &objects[0]["source"]), (1, &json!(1), &json!("prompt")));
        let bbox: Vec<i64> = serde_json::from_value(objects[0]["bbox"].clone()).unwrap();
        assert!((bbox[0] - left).abs() < 6 && (bbox[2] - 80).abs() < 12, "the square from {left} on: {bbox:?}");
    }
}

#[test]
fn wrong_arguments_are_refused_before_the_model_is_opened() {
    let folder = Scratch::new("cli-console-wrong");
    draw(&folder.0.join("a.png"), 100);
    for (arguments, reason) in [
        (&["a.png", "--address", "0.0.0.0:8060"][..], "console.token is empty"),
        (&["a.png", "--address", "nowhere"], "'nowhere' is not an address"),
        (&["a.png", "--token", "short"], "expected at least 16"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
        let output = command.current_dir(&folder.0).arg("console").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn everything_is_found_with_progress_and_a_search_is_cancelled() {
    let folder = Scratch::new("cli-console-search");
    draw(&folder.0.join("a.png"), 100);
    let console = Console::start(&folder.0, &["a.png"]);
    let mut page = Page::open(console.address, &[]).await;
    let picture = page.picture().await;
    let search = json!({"do": "everything", "stamp": picture.header["stamp"]});
    let id = page.ask(0, search.clone()).await;
    let progress = page.text("progress").await;
    assert!(progress["id"] == id && progress["points"].as_u64() > Some(0), "{progress}");
    let answer = page.text("answer").await;
    assert_eq!((&answer["id"], &answer["ok"]), (&json!(id), &json!(true)));
    let areas: Vec<_> = answer["found"].as_array().unwrap().iter().map(|mask| mask["area"].as_f64().unwrap()).collect();
    assert!(areas.iter().any(|area| (area - 6400.0).abs() < 700.0), "the square of 80x80 pixels in {areas:?}");

    let id = page.ask(0, search).await;
    page.text("progress").await;
    let cancel = page.ask(0, json!({"do": "cancel", "request": id})).await;
    let mut answers = [page.text("answer").await, page.text("answer").await];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(
        (&answers[0]["id"], &answers[0]["ok"], &answers[0]["text"]),
        (&json!(id), &json!(false), &json!("cancelled"))
    );
    assert_eq!((&answers[1]["id"], &answers[1]["text"]), (&json!(cancel), &json!("cancelled")));
    // The decoder is free again.
    assert_eq!(page.answer(click(&picture, 0, 140, 100)).await["ok"], true);
}
