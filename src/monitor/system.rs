//! Memory of the process, and power mode, temperatures and throttling of a Jetson, from /proc and /sys.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// State of a Jetson.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jetson {
    /// Name of the board.
    pub board: String,
    /// Power mode of nvpmodel, for instance `15W`.
    pub power_mode: Option<String>,
    /// Name and temperature in degrees Celsius of each thermal zone, sorted by name.
    pub temperatures: Vec<(String, f32)>,
    /// Reasons for throttling: active cooling devices except the fan, and over-current events since the last call.
    pub throttled: Vec<String>,
}

/// Reads the state of the machine from files of the kernel.
#[derive(Debug)]
pub struct System {
    /// `/`, or a folder with copies of the files.
    root: PathBuf,
    /// Number of over-current events at the last call, by file.
    over_current_events: Mutex<BTreeMap<PathBuf, u64>>,
}

impl Default for System {
    fn default() -> Self {
        System::at("/")
    }
}

impl System {
    /// Reads the files below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        System { root: root.into(), over_current_events: Mutex::default() }
    }

    /// Returns the resident memory of this process in bytes, or none if the system has no /proc.
    pub fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(self.root.join("proc/self/status")).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Returns the host name of the machine, or an empty text if the system has no /proc.
    pub fn host(&self) -> String {
        read(&self.root.join("proc/sys/kernel/hostname")).unwrap_or_default()
    }

    /// Returns the state of a Jetson, or none on any other machine.
    pub fn jetson(&self) -> Option<Jetson> {
        let compatible = fs::read_to_string(self.root.join("proc/device-tree/compatible")).ok()?;
        if !compatible.contains("nvidia,tegra") {
            return None;
        }
        let board = read(&self.root.join("proc/device-tree/model")).unwrap_or_else(|| "Jetson".into());
        let mut throttled = self.cooling();
        throttled.extend(self.over_current());
        Some(Jetson { board, power_mode: self.power_mode(), temperatures: self.temperatures(), throttled })
    }

    /// Returns the name of nvpmodel's mode. The status file of nvpmodel holds the number of the mode, its configuration the
    /// names.
    fn power_mode(&self) -> Option<String> {
        let status = read(&self.root.join("var/lib/nvpmodel/status"))?;
        let number: u32 = status.strip_prefix("pmode:")?.trim().parse().ok()?;
        let names = fs::read_to_string(self.root.join("etc/nvpmodel.conf")).unwrap_or_default();
        let name = names.lines().filter(|l| l.trim_start().starts_with("< POWER_MODEL")).find_map(|line| {
            let field = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
            (field("ID=")?.parse() == Ok(number)).then(|| field("NAME=").map(str::to_owned))?
        });
        Some(name.unwrap_or_else(|| number.to_string()))
    }

    /// Returns name and temperature of each thermal zone.
    fn temperatures(&self) -> Vec<(String, f32)> {
        let zones = folders(&self.root.join("sys/class/thermal"), "thermal_zone");
        let temperature = |zone: PathBuf| {
            let name = read(&zone.join("type"))?.trim_end_matches("-thermal").to_owned();
            // Reading a zone that is switched off fails.
            let millidegrees: f32 = read(&zone.join("temp"))?.parse().ok()?;
            Some((name, millidegrees / 1000.0))
        };
        let mut temperatures: Vec<(String, f32)> = zones.into_iter().filter_map(temperature).collect();
        temperatures.sort_by(|a, b| a.0.cmp(&b.0));
        temperatures
    }

    /// Returns the active cooling devices except the fan.
    fn cooling(&self) -> Vec<String> {
        let devices = folders(&self.root.join("sys/class/thermal"), "cooling_device");
        let active = |device: PathBuf| {
            let name = read(&device.join("type"))?;
            let state: u64 = read(&device.join("cur_state"))?.parse().ok()?;
            (state > 0 && !name.contains("fan")).then(|| format!("{name} at step {state}"))
        };
        devices.into_iter().filter_map(active).collect()
    }

    /// Returns the over-current events since the last call.
    fn over_current(&self) -> Vec<String> {
        let mut counts = self.over_current_events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for monitor in folders(&self.root.join("sys/class/hwmon"), "hwmon") {
            for number in 1..=3 {
                let file = monitor.join(format!("oc{number}_event_cnt"));
                let Some(count) = read(&file).and_then(|text| text.parse::<u64>().ok()) else { continue };
                // Events before the first call are not reported.
                let before = counts.insert(file, count).unwrap_or(count);
                if count > before {
                    new.push(format!("over-current alarm {number}, {} times", count - before));
                }
            }
        }
        new
    }
}

/// Reads a file of one line. Files of the device tree end with a zero byte.
fn read(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned())
}

/// Returns the entries of a folder whose names begin with `prefix`, sorted by name.
fn folders(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the files that the kernel of an Orin Nano shows.
    fn orin(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("promptseg-system-{name}-{}", std::process::id()));
        let files = [
            ("proc/self/status", "Name:\tpromptseg\nVmRSS:\t   2048 kB\n"),
            ("proc/sys/kernel/hostname", "orin-7\n"),
            ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0"),
            ("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0"),
            ("var/lib/nvpmodel/status", "pmode:0001\n"),
            ("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=7W >\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "51375\n"),
            ("sys/class/thermal/thermal_zone1/type", "gpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "\n"),
            ("sys/class/thermal/thermal_zone2/type", "tj-thermal\n"),
            ("sys/class/thermal/thermal_zone2/temp", "52000\n"),
            ("sys/class/thermal/cooling_device0/type", "pwm-fan\n"),
            ("sys/class/thermal/cooling_device0/cur_state", "2\n"),
            ("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0\n"),
            ("sys/class/thermal/cooling_device1/cur_state", "0\n"),
            ("sys/class/hwmon/hwmon2/oc1_event_cnt", "7\n"),
        ];
        for (file, text) in files {
            put(&root, file, text);
        }
        root
    }

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_jetson_has_a_power_mode_temperatures_and_reasons_for_throttling() {
        let root = orin("jetson");
        let system = System::at(&root);
        assert_eq!((system.resident(), system.host().as_str()), (Some(2048 * 1024), "orin-7"));
        let jetson = system.jetson().unwrap();
        assert_eq!(jetson.board, "NVIDIA Jetson Orin Nano Developer Kit");
        assert_eq!(jetson.power_mode.as_deref(), Some("7W"));
        assert_eq!(jetson.temperatures, [("cpu".to_owned(), 51.375), ("tj".to_owned(), 52.0)]);
        assert_eq!(jetson.throttled, [""; 0], "neither the fan nor events before the first call");
        put(&root, "sys/class/thermal/cooling_device1/cur_state", "3\n");
        put(&root, "sys/class/hwmon/hwmon2/oc1_event_cnt", "9\n");
        let throttled = system.jetson().unwrap().throttled;
        assert_eq!(throttled, ["cpufreq-cpu0 at step 3", "over-current alarm 1, 2 times"]);
        assert_eq!(system.jetson().unwrap().throttled, ["cpufreq-cpu0 at step 3"]);
        put(&root, "var/lib/nvpmodel/status", "pmode:0005\n");
        assert_eq!(system.jetson().unwrap().power_mode.as_deref(), Some("5"), "a mode without a name");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn any_other_machine_has_no_state() {
        let root = orin("other");
        put(&root, "proc/device-tree/compatible", "raspberrypi,5-model-b\0");
        assert_eq!(System::at(&root).jetson(), None);
        let no_files = System::at(root.join("missing"));
        assert_eq!((no_files.jetson(), no_files.resident()), (None, None));
        fs::remove_dir_all(root).unwrap();
    }
}
