//! Objects in metres against analytic scenes and against NumPy. `cargo test --test depth -- --nocapture` prints the errors.

mod accuracy;
mod golden;
mod points;
mod scene;
