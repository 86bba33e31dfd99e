//! Order of paths in which digits are numbers: `2.jpg` before `10.jpg`.

use std::cmp::Ordering;
use std::path::Path;

/// Compares folders by name, and the files of one folder by name with digits as numbers.
pub fn compare_paths(a: &Path, b: &Path) -> Ordering {
    let name = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_owned();
    a.parent().cmp(&b.parent()).then_with(|| compare_names(&name(a), &name(b))).then_with(|| a.cmp(b))
}

fn compare_names(mut a: &[u8], mut b: &[u8]) -> Ordering {
    // Returns the number of leading zeros and the length of the digits.
    let digits = |text: &[u8]| {
        let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
        let zeros = text[..end].iter().take_while(|c| **c == b'0').count();
        (zeros, end)
    };
    loop {
        let (Some(first), Some(second)) = (a.first(), b.first()) else { return a.len().cmp(&b.len()) };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let ((from_a, to_a), (from_b, to_b)) = (digits(a), digits(b));
            let (in_a, in_b) = (&a[from_a..to_a], &b[from_b..to_b]);
            let order = in_a.len().cmp(&in_b.len()).then_with(|| in_a.cmp(in_b));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[to_a..], &b[to_b..]);
        } else if first != second {
            return first.cmp(second);
        } else {
            (a, b) = (&a[1..], &b[1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn digits_in_names_are_compared_as_numbers() {
        let sorted =
            ["a/10.jpg", "b/1.jpg", "b/2.jpg", "b/010.jpg", "b/10.jpg", "b/11.jpg", "b/f2_1.png", "b/f10_0.png"];
        let sorted: Vec<PathBuf> = sorted.iter().map(PathBuf::from).collect();
        let mut mixed = sorted.clone();
        mixed.reverse();
        mixed.sort_by(|a, b| compare_paths(a, b));
        assert_eq!(mixed, sorted);
    }
}
