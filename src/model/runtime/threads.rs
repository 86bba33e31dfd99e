//! Number of physical cores that sessions may use.

use std::collections::BTreeSet;
use std::path::Path;

/// Returns the number of physical cores among the processors that this process may use (`taskset`, cgroups), at least 1.
pub fn physical_cores() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(allowed) = allowed_processors() else { return usable };
    // A container may have a smaller share than the processors that it sees.
    cores(&allowed, Path::new("/sys/devices/system/cpu")).clamp(1, usable)
}

/// Returns the processors on which the scheduler may run this process.
fn allowed_processors() -> Option<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    parse(list.trim())
}

/// Parses a list in the format of Linux, for instance `0-3,8`.
fn parse(list: &str) -> Option<Vec<usize>> {
    let mut processors = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        processors.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(processors)
}

/// Counts the cores of `processors`: processors with the same siblings are one core, a processor without a file of siblings
/// is a core of its own.
fn cores(processors: &[usize], system: &Path) -> usize {
    let siblings = |n: &usize| {
        let file = system.join(format!("cpu{n}/topology/thread_siblings_list"));
        std::fs::read_to_string(file).unwrap_or_else(|_| n.to_string())
    };
    processors.iter().map(siblings).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyper_threads_share_a_core() {
        let system = std::env::temp_dir().join(format!("promptseg-cores-{}", std::process::id()));
        for (n, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")] {
            let folder = system.join(format!("cpu{n}/topology"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("thread_siblings_list"), format!("{siblings}\n")).unwrap();
        }
        assert_eq!(cores(&[0, 1, 2, 3], &system), 2);
        assert_eq!(cores(&[0, 2], &system), 1);
        assert_eq!(cores(&[7, 8], &system), 2, "they have no file of siblings");
        std::fs::remove_dir_all(&system).unwrap();
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse("0-2,8").unwrap(), [0, 1, 2, 8]);
        assert_eq!(parse("x"), None);
        assert!((1..=std::thread::available_parallelism().unwrap().get()).contains(&physical_cores()));
    }
}
