//! The node's parameters: the table that defines them, their values, and the documents made from the table.

pub mod docs;
pub mod session;
pub mod table;
pub mod values;
