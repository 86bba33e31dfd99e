//! Sparse tokens: the points and box corners of a prompt, in the order that each model family expects.

use crate::pixels::Geometry;
use crate::prompt::{Label, Prompt};

/// Meaning of a sparse token. [`TokenLabel::number`] is the number that SAM's graphs use for the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenLabel {
    /// Not a point: fills the place of a missing box.
    Pad,
    Background,
    Foreground,
    TopLeft,
    BottomRight,
}

impl TokenLabel {
    /// Returns -1, 0, 1, 2 or 3, in the order of the variants.
    pub fn number(self) -> f32 {
        match self {
            TokenLabel::Pad => -1.0,
            TokenLabel::Background => 0.0,
            TokenLabel::Foreground => 1.0,
            TokenLabel::TopLeft => 2.0,
            TokenLabel::BottomRight => 3.0,
        }
    }
}

/// A sparse token: a position in pixels of the square of the prompts, and its label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    pub x: f32,
    pub y: f32,
    pub label: TokenLabel,
}

impl Token {
    pub const PAD: Token = Token { x: 0.0, y: 0.0, label: TokenLabel::Pad };
}

/// Returns the sparse tokens of a prompt. A mask alone has none.
///
/// SAM (`SamPredictor.predict_torch`): the points, then the corners of the box, or a pad token if there is no box.
/// SAM 2 (`box_as_points`, `SAM2ImagePredictor._predict`): the corners of the box, then the points, then always a pad
/// token.
pub fn tokens(prompt: &Prompt, geometry: &Geometry, box_as_points: bool) -> Vec<Token> {
    let token = |x: f32, y: f32, label: TokenLabel| {
        let (x, y) = geometry.model_from_image(x, y);
        Token { x, y, label }
    };
    let corners = prompt
        .bbox
        .map(|b| [token(b.x_min, b.y_min, TokenLabel::TopLeft), token(b.x_max, b.y_max, TokenLabel::BottomRight)]);
    let mut tokens = Vec::with_capacity(prompt.points.len() + 3);
    if box_as_points {
        tokens.extend(corners.into_iter().flatten());
    }
    for p in &prompt.points {
        let label = match p.label {
            Label::Background => TokenLabel::Background,
            Label::Foreground => TokenLabel::Foreground,
        };
        tokens.push(token(p.x, p.y, label));
    }
    match corners {
        Some(corners) if !box_as_points => tokens.extend(corners),
        _ if !tokens.is_empty() => tokens.push(Token::PAD),
        _ => {}
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Resize;
    use crate::prompt::Point;

    #[test]
    fn the_order_of_tokens_is_that_of_the_family() {
        use TokenLabel::{Background as B, BottomRight as Br, Foreground as F, Pad, TopLeft as Tl};
        let geometry = Geometry::new(200, 100, 1000, Resize::Stretch);
        let clicks = Prompt::point(20.0, 10.0).with_point(Point::background(50.0, 60.0));
        let boxed = Prompt::bbox(10.0, 20.0, 30.0, 40.0);
        let both = Prompt { bbox: boxed.bbox, ..clicks.clone() };
        let labels = |prompt: &Prompt, box_as_points| {
            tokens(prompt, &geometry, box_as_points).iter().map(|t| t.label).collect::<Vec<_>>()
        };
        for (prompt, sam, sam2) in [
            (&clicks, vec![F, B, Pad], vec![F, B, Pad]),
            (&boxed, vec![Tl, Br], vec![Tl, Br, Pad]),
            (&both, vec![F, B, Tl, Br], vec![Tl, Br, F, B, Pad]),
            (&Prompt::default(), vec![], vec![]),
        ] {
            assert_eq!(labels(prompt, false), sam);
            assert_eq!(labels(prompt, true), sam2);
        }
        let corner = tokens(&boxed, &geometry, true)[1];
        assert_eq!((corner.x, corner.y), (150.0, 400.0));
    }
}
