//! Text in XML and HTML.

/// Replaces the characters that have a meaning in XML. Control characters, which XML does not have, become spaces.
pub fn escaped(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
