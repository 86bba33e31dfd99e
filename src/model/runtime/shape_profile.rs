//! Shape profiles of TensorRT.

/// Range of shapes of the dynamic inputs of a graph. TensorRT builds its engine for the shapes from `min` to `max`; the
/// engine is fastest for `opt`. The format is TensorRT's: `name:1x2x3,name:1x2`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapeProfile {
    pub min: String,
    pub opt: String,
    pub max: String,
}

impl ShapeProfile {
    /// Adds the range of one input.
    pub fn add(&mut self, name: &str, min: &[usize], opt: &[usize], max: &[usize]) {
        for (text, shape) in [(&mut self.min, min), (&mut self.opt, opt), (&mut self.max, max)] {
            if !text.is_empty() {
                text.push(',');
            }
            let dimensions = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            text.push_str(&format!("{name}:{dimensions}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_profile_is_written_as_tensorrt_wants_it() {
        let mut profile = ShapeProfile::default();
        profile.add("a", &[1, 1, 2], &[1, 2, 2], &[64, 16, 2]);
        profile.add("b", &[1], &[1], &[64]);
        assert_eq!(profile.min, "a:1x1x2,b:1");
        assert_eq!(profile.max, "a:64x16x2,b:64");
    }
}
