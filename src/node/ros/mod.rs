//! Foundations on r2r: names, topics and subscriptions with their quality of service, clock, transforms, log, and the
//! conversion of messages.

pub mod clock;
pub mod convert;
pub mod names;
pub mod qos;
pub mod qos_overrides;
pub mod rosout;
pub mod subscriptions;
pub mod topics;
pub mod transforms;
