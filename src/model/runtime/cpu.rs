//! Name and instruction sets of the processor.

use std::sync::OnceLock;

/// Flags of /proc/cpuinfo for arithmetic in bf16: AVX-512 and AMX.
const X86_BF16: [&str; 2] = ["avx512_bf16", "amx_bf16"];
/// The same for ARM.
const ARM_BF16: [&str; 1] = ["bf16"];

/// The processor of this machine, as far as Linux describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// For instance `AMD EPYC 9654 96-Core Processor`, or the architecture if Linux names no model.
    pub name: String,
    /// Whether the program runs as code for 64-bit ARM.
    pub arm: bool,
    /// Whether the processor has instructions for arithmetic in bf16.
    pub bf16: bool,
}

impl Cpu {
    /// Returns the processor of this machine, which is read once.
    pub fn of_this_machine() -> &'static Cpu {
        static CPU: OnceLock<Cpu> = OnceLock::new();
        CPU.get_or_init(|| {
            let board = std::fs::read_to_string("/sys/firmware/devicetree/base/model").unwrap_or_default();
            let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            Cpu::parse(&cpuinfo, &board, std::env::consts::ARCH)
        })
    }

    /// Parses the text of /proc/cpuinfo. ARM processors have no name there, so that the name of the board is taken. An emulator
    /// may show the file of another architecture, whose flags do not count.
    fn parse(cpuinfo: &str, board: &str, architecture: &str) -> Cpu {
        let arm = architecture == "aarch64";
        let field = |key: &str| {
            let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            fields.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).find(|value| !value.is_empty())
        };
        let board = board.trim_matches(['\0', ' ', '\n']);
        let fallback = if board.is_empty() { architecture } else { board };
        let (list, bf16): (_, &[&str]) = if arm { ("Features", &ARM_BF16) } else { ("flags", &X86_BF16) };
        let flags = field(list).unwrap_or_default();
        Cpu {
            name: field("model name").unwrap_or(fallback).to_owned(),
            arm,
            bf16: flags.split_whitespace().any(|flag| bf16.contains(&flag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_bf16_are_read_from_cpuinfo() {
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\n";
        let (intel, arm64) = ("x86_64", "aarch64");
        assert_eq!(Cpu::parse(x86, "", intel), Cpu { name: "AMD EPYC 9654".into(), arm: false, bf16: true });
        let old = x86.replace("avx512_bf16", "avx512_bf16x");
        assert!(!Cpu::parse(&old, "", intel).bf16, "a flag is a whole word");
        let arm = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\nCPU part\t: 0xd42\n";
        let orin = "NVIDIA Jetson AGX Orin\0";
        assert_eq!(Cpu::parse(arm, orin, arm64), Cpu { name: "NVIDIA Jetson AGX Orin".into(), arm: true, bf16: true });
        assert_eq!(Cpu::parse("", "", intel), Cpu { name: intel.into(), arm: false, bf16: false });
        assert!(!Cpu::parse(x86, "", arm64).bf16, "qemu shows the host's file");
        assert!(!Cpu::parse(&arm.replace("bf16 ", ""), orin, arm64).bf16);
        assert!(!Cpu::of_this_machine().name.is_empty());
    }
}
