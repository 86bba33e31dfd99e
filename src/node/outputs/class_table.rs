//! Numbers of the classes on `~/classes`.

use crate::engine::{Refusal, RefusalKind};
use crate::node::config::MAX_CLASSES;

/// Names of the classes; the number of a class is its place from 1. A number is never given to another class.
#[derive(Debug, Default)]
pub struct ClassTable {
    names: Vec<String>,
    /// Whether a class that appears is added.
    is_open: bool,
}

impl ClassTable {
    /// Makes the table of a parameter. Without names, the classes are added in the order in which they appear.
    pub fn new(names: &[String]) -> Self {
        ClassTable { names: names.to_vec(), is_open: names.is_empty() }
    }

    /// The names, ordered by number from 1.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the number of a class, which is added to an open table.
    ///
    /// # Errors
    /// The class is not in a closed table, or the table is full.
    pub fn number(&mut self, name: &str) -> Result<u8, Refusal> {
        // A table has at most MAX_CLASSES names.
        let number = |place: usize| u8::try_from(place + 1).unwrap_or(u8::MAX);
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return Ok(number(place));
        }
        if !self.is_open {
            let message = format!(
                "class '{name}' is not in classes.names ({}): add it there, or leave its detections out by their class",
                self.names.join(", ")
            );
            return Err(Refusal::new(RefusalKind::UnknownClass, message));
        }
        if self.names.len() >= MAX_CLASSES {
            let message = format!(
                "class '{name}' is one too many: {MAX_CLASSES} have appeared, and a pixel of mono8 has no further value; list \
                 the classes that matter in classes.names"
            );
            return Err(Refusal::new(RefusalKind::TooManyClasses, message));
        }
        self.names.push(name.to_owned());
        Ok(number(self.names.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_table_numbers_the_classes_as_they_appear() {
        let mut table = ClassTable::new(&[]);
        assert_eq!(["cup", "dog", "cup"].map(|name| table.number(name)), [Ok(1), Ok(2), Ok(1)]);
        for i in 2..MAX_CLASSES {
            assert_eq!(table.number(&format!("class {i}")), Ok(i as u8 + 1));
        }
        let refusal = table.number("one more").unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::TooManyClasses);
        assert!(refusal.message.contains("'one more' is one too many: 255 have appeared"), "{}", refusal.message);
        assert_eq!(table.number("class 254"), Ok(255));
    }

    #[test]
    fn a_table_of_the_parameter_takes_no_other_class() {
        let mut table = ClassTable::new(&["road".into(), "grass".into()]);
        assert_eq!(["grass", "road"].map(|name| table.number(name)), [Ok(2), Ok(1)]);
        let refusal = table.number("cup").unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::UnknownClass);
        assert!(refusal.message.contains("'cup' is not in classes.names (road, grass)"), "{}", refusal.message);
    }
}
