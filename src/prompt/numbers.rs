//! Numbers of a prompt on the command line.

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
