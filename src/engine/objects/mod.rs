//! The objects that prompts point at: their prompts, memories and results.

mod feedback;
mod history;
mod memory;
mod object;
mod recent_results;
mod results;
mod set;

pub use feedback::{follow, low_res};
pub use history::History;
pub use memory::{Memory, Positions, Remembered};
pub use object::{Corner, Object};
pub use recent_results::RecentResults;
pub use results::{lost, lost_result, not_there, remember, result_from, result_of};
#[cfg(test)]
pub use set::MAX_OBJECTS;
pub use set::{MAX_OBJECT_ID, Objects, check_count};
