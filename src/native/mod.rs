//! All `unsafe` code of the crate: safe wrappers of C functions that std, ort and r2r do not offer. The other modules
//! deny unsafe code.

#![allow(unsafe_code)]

#[cfg(feature = "ros")]
pub mod arguments;
pub mod gpu;
#[cfg(feature = "ros")]
pub mod log;
#[cfg(type_description)]
pub mod node_types;
pub mod onnxruntime;
pub mod openvino;
#[cfg(feature = "ros")]
pub mod process;
#[cfg(type_description)]
pub mod rcl_node;
#[cfg(feature = "ros")]
pub mod received;
pub mod turbojpeg;
