//! Boxes of a detector: hulls, filters, clipping to the image.

use arbitrary::{Result, Unstructured};
use promptseg::engine::detections::{DetectionFilter, RawDetection, upright_box};
use promptseg::prompt::Prompt;

use super::number;

pub fn run(data: &[u8]) {
    let _ = check(Unstructured::new(data));
}

fn check(mut u: Unstructured) -> Result<()> {
    let class = |u: &mut Unstructured| Ok((*u.choose(&["", "cup", "dog", "41", "\u{fffd}"])?).to_owned());
    let wanted = u.int_in_range(0..=2)?;
    let filter = DetectionFilter {
        min_score: number(&mut u)?,
        classes: (0..wanted).map(|_| class(&mut u)).collect::<Result<_>>()?,
        max_count: u.int_in_range(0..=8)?,
    };
    let (width, height) = (u.int_in_range(1..=64)?, u.int_in_range(1..=64)?);
    let mut found = Vec::new();
    while !u.is_empty() && found.len() < 64 {
        let centre = (number(&mut u)?, number(&mut u)?);
        let (theta, size) = (number(&mut u)?, (number(&mut u)?, number(&mut u)?));
        found.push(RawDetection {
            bbox: upright_box(centre, theta, size),
            class: class(&mut u)?,
            class_number: u.arbitrary()?,
            score: if u.arbitrary()? { Some(number(&mut u)?) } else { None },
            tag: found.len().to_string(),
        });
    }
    let passed = filter.apply(found.clone());
    assert!(passed.len() <= filter.max_count.min(found.len()));
    let tags: Vec<usize> = passed.iter().map(|b| b.tag.parse().expect("tags are numbers")).collect();
    assert!(tags.is_sorted_by(|a, b| a < b), "the filter changed the order: {tags:?}");
    for (item, tag) in passed.iter().zip(tags) {
        let from = &found[tag];
        let number = from.class_number.map(|n| n.to_string()).unwrap_or_default();
        assert!(filter.classes.is_empty() || [&from.class, &number].iter().any(|c| filter.classes.contains(c)));
        assert!(filter.min_score.is_nan() || filter.min_score <= 0.0 || from.score >= Some(filter.min_score));
        if let Ok(prompt) = (Prompt { bbox: Some(item.bbox), ..Prompt::default() }).check(width, height) {
            let b = prompt.bbox.expect("a checked prompt keeps its box");
            assert!(0.0 <= b.x_min && b.x_min < b.x_max && b.x_max <= width as f32, "{b:?}");
            assert!(0.0 <= b.y_min && b.y_min < b.y_max && b.y_max <= height as f32, "{b:?}");
        }
    }
    Ok(())
}
