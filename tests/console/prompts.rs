//! Prompts of pages, and their answers.

use promptseg::console::Settings;
use serde_json::{Value, json};

use crate::bench::{Bench, HEIGHT, WIDTH, bench};
use crate::client::{Page, Picture, click};

async fn page_with_picture() -> (Bench, Page, Picture) {
    let b = bench(Settings { stale_after: None, ..Settings::default() });
    b.frame(1).await;
    let mut page = Page::open(b.console.address(), &[]).await;
    let picture = page.picture().await;
    (b, page, picture)
}

/// Returns the pixels of a mask of the console.
fn pixels(mask: &Value) -> Vec<(u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap();
    let rect: Vec<u64> = mask["rect"].as_array().unwrap().iter().map(number).collect();
    let counts = mask["counts"].as_array().unwrap().iter().map(number);
    let inside = counts.enumerate().flat_map(|(i, count)| std::iter::repeat_n(i % 2 == 1, count as usize));
    let place = |i: usize| (rect[0] + i as u64 % rect[2], rect[1] + i as u64 / rect[2]);
    inside.enumerate().filter(|(_, inside)| *inside).map(|(i, _)| place(i)).collect()
}

#[tokio::test]
async fn a_click_is_answered_on_its_picture_at_its_pixel() {
    let (b, mut page, picture) = page_with_picture().await;
    b.frame(2).await;
    let id = page.ask(0, click(&picture, 0, 100, 7)).await;
    let (masks, answer) = page.masks_and_answer(&picture, id).await;
    let around: Vec<_> = (6..=8).flat_map(|y| (99..=101).map(move |x| (x, y))).collect();
    assert_eq!(pixels(&masks["objects"][0]["mask"]), around);
    assert_eq!(masks["objects"][0]["points"], json!([[100.0, 7.0, true]]));
    assert_eq!(answer["object"], 1);
}

#[tokio::test]
async fn an_object_is_refined_renamed_undone_repeated_and_removed() {
    let (_b, mut page, picture) = page_with_picture().await;
    assert_eq!(page.answer(click(&picture, 0, 10, 10)).await["object"], 1);
    assert_eq!(page.answer(click(&picture, 0, 50, 50)).await["object"], 2);
    assert_eq!(page.answer(click(&picture, 1, 20, 20)).await["object"], 1);
    for (action, expected) in [
        (json!({"do": "undo"}), "took back the foreground click at (20, 20): object 1 has 1 point"),
        (json!({"do": "redo"}), "repeated the foreground click at (20, 20): object 1 has 2 points"),
        (json!({"do": "rename", "object": 1, "class": "cup"}), "object 1 is a cup"),
        (json!({"do": "persist", "object": 1, "persistence": "once"}), "object 1: once"),
        (json!({"do": "remove", "object": 2}), "removed object 2"),
        (json!({"do": "clear"}), "removed all objects"),
        (json!({"do": "redo"}), "there is no undone prompt to repeat"),
    ] {
        let answer = page.answer(action).await;
        assert_eq!((&answer["ok"], answer["text"].as_str().unwrap()), (&json!(true), expected));
    }
    let refused = page.answer(json!({"do": "remove", "object": 9})).await;
    assert!(refused["ok"] == false && refused["text"].as_str().unwrap().contains("no object 9"), "{refused}");
}

#[tokio::test]
async fn boxes_and_brushes_prompt_and_masks_that_do_not_fit_are_refused() {
    let (_b, mut page, picture) = page_with_picture().await;
    let prompt = |field: &str, value: Value| {
        let mut action = click(&picture, 0, 0, 0);
        action["points"] = json!([]);
        action[field] = value;
        action
    };
    assert_eq!(page.answer(prompt("box", json!([10, 10, 60, 50]))).await["ok"], true);
    assert_eq!(page.answer(prompt("mask", json!({"rect": [10, 20, 30, 2], "counts": [5, 50, 5]}))).await["ok"], true);
    for (field, value, reason) in [
        ("box", json!([60, 50, 10, 10]), "no area"),
        ("mask", json!({"rect": [WIDTH - 5, 0, 30, 2], "counts": [0, 60]}), "expected a rectangle within"),
        ("mask", json!({"rect": [0, 0, 30, 2], "counts": [0, 61]}), "runs of 61 pixels, expected 60"),
        ("points", json!([[WIDTH + 40, HEIGHT, true]]), "outside"),
        ("points", json!([[5, 5, false]]), "background"),
    ] {
        let answer = page.answer(prompt(field, value.clone())).await;
        let text = answer["text"].as_str().unwrap();
        assert!(answer["ok"] == false && text.contains(reason), "{field} {value}: {text}");
    }
}

#[tokio::test]
async fn two_pages_prompt_objects_of_their_own_and_see_all() {
    let (b, mut first, picture) = page_with_picture().await;
    let mut second = Page::open(b.console.address(), &[]).await;
    let seen = second.picture().await;
    assert_eq!(first.answer(click(&picture, 0, 10, 10)).await["object"], 1);
    assert_eq!(second.answer(click(&seen, 0, 90, 90)).await["object"], 2);
    assert_eq!(first.answer(click(&picture, 1, 12, 12)).await["object"], 1);
    b.frame(2).await;
    for page in [&mut first, &mut second] {
        let objects = page.picture().await.header["objects"].clone();
        let points: Vec<_> =
            objects.as_array().unwrap().iter().map(|o| o["points"].as_array().unwrap().len()).collect();
        assert_eq!(points, [2, 1]);
    }
}

#[tokio::test]
async fn a_picture_that_is_gone_is_refused_in_words() {
    let (_b, mut page, mut picture) = page_with_picture().await;
    picture.header["stamp"] = json!([999, 0]);
    let answer = page.answer(click(&picture, 0, 10, 10)).await;
    let text = answer["text"].as_str().unwrap();
    assert!(answer["ok"] == false && text.contains("does not show the picture of stamp 999"), "{text}");
}

#[tokio::test]
async fn a_camera_has_no_files() {
    let (_b, mut page, _) = page_with_picture().await;
    for action in [json!({"do": "show", "index": 1}), json!({"do": "save"})] {
        assert_eq!(page.answer(action.clone()).await["ok"], false, "{action}");
    }
}

#[tokio::test]
async fn a_search_of_a_model_that_cannot_search_is_refused_in_words() {
    let (_b, mut page, picture) = page_with_picture().await;
    let action = json!({"do": "everything", "stamp": picture.header["stamp"]});
    let answer = page.answer(action).await;
    assert!(answer["ok"] == false && answer["text"].as_str().unwrap().contains("grid"), "{answer}");
    assert_eq!(page.answer(json!({"do": "cancel", "request": 1})).await["text"], "there is nothing to cancel");
}

#[tokio::test]
async fn phrases_are_answered_with_what_was_understood() {
    let (_b, mut page, _) = page_with_picture().await;
    for (text, expected) in [
        ("red cup, person", (true, Value::Null, "searching for 'red cup', 'person'")),
        ("red cup, dog", (true, json!(1), "searching for 'red cup'; refused: 'dog': not in the bank")),
        ("", (true, Value::Null, "no phrases any more")),
        ("dog", (false, Value::Null, "'dog': not in the bank")),
        ("a\u{0}b", (false, Value::Null, "the phrase \"a\\0b\" has the control character '\\0', expected words")),
        ("stop", (false, Value::Null, "no answer: the camera was stopped")),
    ] {
        let answer = page.answer(json!({"do": "text", "text": text})).await;
        let found = (answer["ok"] == true, answer["refused"].clone(), answer["text"].as_str().unwrap());
        assert_eq!(found, expected, "{text}");
    }
    for (camera, reason) in [(1, "camera 1 sleeps"), (7, "there is no camera 7; there are 2")] {
        page.ask(camera, json!({"do": "text", "text": "cup"})).await;
        assert_eq!(page.text("answer").await["text"], reason);
    }
}

#[tokio::test]
async fn the_status_has_the_phrases_that_are_searched_for() {
    let (_b, mut page, _) = page_with_picture().await;
    assert_eq!(page.text("status").await["phrases"], json!(["cup"]));
    page.view(1).await;
    let status = loop {
        let status = page.text("status").await;
        if status["camera"] == 1 {
            break status;
        }
    };
    assert_eq!(status["phrases"], Value::Null, "without a text model the page has no field");
}
