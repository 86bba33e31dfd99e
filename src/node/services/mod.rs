//! Services of the node: prompts with an answer, and the services of ROS parameters.

pub mod segment;
