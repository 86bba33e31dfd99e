//! Messages of the page. Every message is JSON text; [`parse`] accepts nothing else, and no text makes it panic.

use serde::{Deserialize, Deserializer};

use super::runs::Runs;
use crate::engine::{Persistence, Stamp};
use crate::prompt::{BoxPrompt, Label, Point};

/// Largest message in bytes. The largest messages are masks of the brush.
pub const MAX_MESSAGE: usize = 256 << 10;
/// Most points in a message.
const MAX_POINTS: usize = 64;
/// Most characters of a class.
const MAX_CLASS: usize = 64;
/// Largest side of the requested picture, in pixels.
const MAX_SIDE: u32 = 16_384;

/// A message of the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The page shows this camera in a rectangle of that size, in device pixels. `details`: it shows all diagnostics. `held`:
    /// number of the picture that the operator holds.
    View {
        camera: usize,
        width: u32,
        height: u32,
        details: bool,
        #[serde(default)]
        held: Option<u64>,
    },
    /// The picture of that number was drawn: the next one may come.
    Drawn { picture: u64 },
    /// Question for the server's clock. `sent` is returned.
    Ping { sent: f64 },
    /// Request for the engine.
    Ask(Ask),
}

/// A request that is answered. The answer has its `id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub id: u32,
    pub camera: usize,
    /// Seconds and nanoseconds of the picture that the page shows: its masks are sent again if the action changes them.
    #[serde(default, deserialize_with = "shown")]
    pub shown: Option<Stamp>,
    pub action: Action,
}

/// What the operator does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    Prompt(PromptAction),
    Candidates {
        object: u32,
    },
    Choose {
        object: u32,
        candidate: usize,
    },
    Rename {
        object: u32,
        class: String,
    },
    Persist {
        object: u32,
        #[serde(deserialize_with = "persistence")]
        persistence: Persistence,
    },
    Remove {
        object: u32,
    },
    Clear {},
    Undo {},
    Redo {},
    /// Finds the masks of everything in the picture of a stamp.
    Everything(EverythingAction),
    /// Ends the request of that number.
    Cancel {
        request: u32,
    },
    /// Searches for the objects of phrases with commas between them; an empty text ends the search.
    Text {
        text: String,
    },
    /// Shows another picture of the files.
    Show {
        index: usize,
    },
    /// Saves the masks of the picture that is shown.
    Save {},
}

/// A search in the picture of a stamp.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EverythingAction {
    /// Seconds and nanoseconds of the picture that was shown.
    #[serde(deserialize_with = "stamp")]
    pub stamp: Stamp,
    /// The operator holds the picture.
    #[serde(default)]
    pub held: bool,
}

/// A prompt on the picture of a stamp.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptAction {
    /// Seconds and nanoseconds of the picture that was shown.
    #[serde(deserialize_with = "stamp")]
    pub stamp: Stamp,
    /// The operator holds the picture: its age is known, so that it is not stale.
    #[serde(default)]
    pub held: bool,
    /// Object to prompt; 0 starts an object.
    pub object: u32,
    #[serde(default)]
    pub class: String,
    #[serde(default, deserialize_with = "points")]
    pub points: Vec<Point>,
    /// Left, top, right, bottom.
    #[serde(default, rename = "box", deserialize_with = "bbox")]
    pub bbox: Option<BoxPrompt>,
    /// Mask of the brush.
    #[serde(default)]
    pub mask: Option<Runs>,
}

fn stamp<'de, D: Deserializer<'de>>(from: D) -> Result<Stamp, D::Error> {
    let (sec, nanosec) = <(i32, u32)>::deserialize(from)?;
    Ok(Stamp { sec, nanosec })
}

fn shown<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Stamp>, D::Error> {
    let stamp = Option::<(i32, u32)>::deserialize(from)?;
    Ok(stamp.map(|(sec, nanosec)| Stamp { sec, nanosec }))
}

fn persistence<'de, D: Deserializer<'de>>(from: D) -> Result<Persistence, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn points<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Point>, D::Error> {
    let list = Vec::<(f32, f32, bool)>::deserialize(from)?;
    let label = |on: bool| if on { Label::Foreground } else { Label::Background };
    Ok(list.into_iter().map(|(x, y, on)| Point { x, y, label: label(on) }).collect())
}

fn bbox<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BoxPrompt>, D::Error> {
    let corners = Option::<[f32; 4]>::deserialize(from)?;
    Ok(corners.map(|[x_min, y_min, x_max, y_max]| BoxPrompt { x_min, y_min, x_max, y_max }))
}

/// Reads a message.
///
/// # Errors
/// The text is not JSON, not one of the messages, or above a limit. The reason says what was found and expected.
pub fn parse(text: &str) -> Result<Request, String> {
    if text.len() > MAX_MESSAGE {
        return Err(format!("a message of {} bytes, expected at most {MAX_MESSAGE}", text.len()));
    }
    let request: Request = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match &request {
        Request::View { width, height, .. } if *width > MAX_SIDE || *height > MAX_SIDE => {
            Err(format!("a view of {width}x{height} pixels, expected at most {MAX_SIDE} on each side"))
        }
        Request::Ping { sent } if !sent.is_finite() => Err("a time that is not finite".to_owned()),
        Request::Ask(ask) => check(&ask.action).map(|()| request),
        _ => Ok(request),
    }
}

fn check(action: &Action) -> Result<(), String> {
    match action {
        Action::Prompt(prompt) if prompt.points.len() > MAX_POINTS => {
            Err(format!("{} points in a message, expected at most {MAX_POINTS}", prompt.points.len()))
        }
        Action::Prompt(PromptAction { class, .. }) | Action::Rename { class, .. } => check_class(class),
        _ => Ok(()),
    }
}

fn check_class(class: &str) -> Result<(), String> {
    let length = class.chars().count();
    if length > MAX_CLASS {
        return Err(format!("a class of {length} characters, expected at most {MAX_CLASS}"));
    }
    match class.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("a class with the control character {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_names_its_picture_and_its_object() {
        let text = r#"{"type": "ask", "id": 7, "camera": 1, "action": {"do": "prompt", "stamp": [12, 500000000],
            "object": 3, "points": [[10.5, 20, true], [1, 2, false]]}}"#;
        let Ok(Request::Ask(Ask { id: 7, camera: 1, shown: None, action: Action::Prompt(prompt) })) = parse(text)
        else {
            panic!("{:?}", parse(text))
        };
        assert_eq!(prompt.stamp, Stamp { sec: 12, nanosec: 500_000_000 });
        assert_eq!((prompt.object, prompt.held), (3, false));
        assert_eq!(prompt.points, [Point::foreground(10.5, 20.0), Point::background(1.0, 2.0)]);
    }

    #[test]
    fn every_other_request_is_read() {
        for (action, expected) in [
            (r#"{"do": "candidates", "object": 1}"#, Action::Candidates { object: 1 }),
            (r#"{"do": "choose", "object": 1, "candidate": 2}"#, Action::Choose { object: 1, candidate: 2 }),
            (r#"{"do": "rename", "object": 1, "class": "cup"}"#, Action::Rename { object: 1, class: "cup".into() }),
            (
                r#"{"do": "persist", "object": 1, "persistence": "once"}"#,
                Action::Persist { object: 1, persistence: Persistence::Once },
            ),
            (r#"{"do": "remove", "object": 9}"#, Action::Remove { object: 9 }),
            (r#"{"do": "clear"}"#, Action::Clear {}),
            (r#"{"do": "undo"}"#, Action::Undo {}),
            (r#"{"do": "redo"}"#, Action::Redo {}),
            (
                r#"{"do": "everything", "stamp": [4, 5], "held": true}"#,
                Action::Everything(EverythingAction { stamp: Stamp { sec: 4, nanosec: 5 }, held: true }),
            ),
            (r#"{"do": "cancel", "request": 3}"#, Action::Cancel { request: 3 }),
            (r#"{"do": "text", "text": "red cup, person"}"#, Action::Text { text: "red cup, person".into() }),
            (r#"{"do": "show", "index": 4}"#, Action::Show { index: 4 }),
            (r#"{"do": "save"}"#, Action::Save {}),
        ] {
            let text = format!(r#"{{"type": "ask", "id": 1, "camera": 0, "shown": [3, 9], "action": {action}}}"#);
            let shown = Some(Stamp { sec: 3, nanosec: 9 });
            assert_eq!(parse(&text), Ok(Request::Ask(Ask { id: 1, camera: 0, shown, action: expected })), "{text}");
        }
        let view = r#"{"type": "view", "camera": 0, "width": 1280, "height": 720, "details": false}"#;
        let expected = |held| Request::View { camera: 0, width: 1280, height: 720, details: false, held };
        assert_eq!(parse(view), Ok(expected(None)));
        assert_eq!(parse(&view.replace("false", r#"false, "held": 7"#)), Ok(expected(Some(7))));
        assert_eq!(parse(r#"{"type": "drawn", "picture": 4}"#), Ok(Request::Drawn { picture: 4 }));
        assert_eq!(parse(r#"{"type": "ping", "sent": 1.5}"#), Ok(Request::Ping { sent: 1.5 }));
    }

    #[test]
    fn other_messages_are_refused_with_the_reason() {
        let prompt = |fields: &str| {
            format!(
                r#"{{"type": "ask", "id": 1, "camera": 0, "action":
                {{"do": "prompt", "stamp": [1, 2], "object": 0, {fields}}}}}"#
            )
        };
        let many = format!(r#""points": [{}]"#, vec!["[1, 2, true]"; 65].join(","));
        for (text, reason) in [
            (String::new(), "EOF"),
            ("[]".into(), "missing field `type`"),
            ("nonsense".into(), "expected"),
            (r#"{"type": "shutdown"}"#.into(), "unknown variant `shutdown`"),
            (r#"{"type": "drawn", "picture": -1}"#.into(), "-1"),
            (r#"{"type": "drawn", "picture": 1, "more": 2}"#.into(), "more"),
            (r#"{"type": "view", "camera": 0, "width": 99999, "height": 1, "details": false}"#.into(), "99999x1"),
            (prompt(r#""points": [[1, 2]]"#), "length 2"),
            (prompt(r#""box": [1, 2, 3]"#), "length 3"),
            (prompt(&many), "65 points"),
            (prompt(r#""class": "a\u0000b""#), "control character"),
            (prompt(&format!(r#""class": "{}""#, "x".repeat(65))), "65 characters"),
            (
                r#"{"type": "ask", "id": 1, "camera": 0, "action": {"do": "persist", "object": 1, "persistence": "for ever"}}"#
                    .into(),
                "none of once, hold, track",
            ),
            ("x".repeat(MAX_MESSAGE + 1), "expected at most"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
