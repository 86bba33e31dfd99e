//! The `unsafe` code of this crate, all of it: functions of C libraries that std, ort and r2r leave out, as safe ones. The
//! rest of the crate denies it.

#![allow(unsafe_code)]

#[cfg(feature = "ros")]
pub mod arguments;
pub mod gpu;
#[cfg(feature = "ros")]
pub mod log;
#[cfg(type_description)]
pub mod node_types;
pub mod onnxruntime;
#[cfg(feature = "ros")]
pub mod process;
#[cfg(feature = "ros")]
pub mod received;
pub mod turbojpeg;
