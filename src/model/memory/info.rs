//! Description of a memory.

use crate::model::layout::Signature;
use crate::model::network::MemorySpec;

/// Everything about a memory that does not need its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryInfo {
    pub spec: MemorySpec,
    /// Shape of one spatial memory, `[N, C]`.
    pub shape: [usize; 2],
    /// Inputs and outputs of the memory attention.
    pub attention: Signature,
    /// Inputs and outputs of the memory encoder.
    pub encoder: Signature,
}
