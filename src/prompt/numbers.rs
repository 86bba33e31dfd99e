//! Numbers of prompts: parsed from the command line, and scaled with the picture.

/// Parses finite numbers with commas between them.
///
/// # Errors
/// A sentence that names the part which is not a number.
pub(super) fn parse_numbers(text: &str) -> Result<Vec<f32>, String> {
    let number = |part: &str| match part.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("'{part}' is not a number; expected numbers with commas between them")),
    };
    text.split(',').map(number).collect()
}

/// Returns the factors from pixels of a picture of one size (width, height) to pixels of the same picture at another size.
pub(super) fn scale(from: (u32, u32), to: (u32, u32)) -> (f32, f32) {
    (to.0 as f32 / from.0.max(1) as f32, to.1 as f32 / from.1.max(1) as f32)
}
