//! How much memory there is to work with.

use std::fs;
use std::path::Path;

/// Bytes of memory that are free: on the machine, or in the process's control group where less is
/// left there. None where the system does not say.
pub fn free_bytes() -> Option<u64> {
    let of_machine = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let inner = root.join(group);
    let of_groups = inner
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(left_in_group);
    Some(of_groups.fold(of_machine, u64::min))
}

/// What Linux says can be had without swapping, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What a control group has left of its limit, in bytes; nothing where it has none. Files in its
/// cache make room.
fn left_in_group(group: &Path) -> Option<u64> {
    let number =
        |name: &str| -> Option<u64> { fs::read_to_string(group.join(name)).ok()?.trim().parse().ok() };
    let (limit, taken) = (number("memory.max")?, number("memory.current")?);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached: Option<u64> = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    Some((limit + cached.unwrap_or(0)).saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn free_memory_is_read_as_linux_writes_it() {
        assert_eq!(available("MemTotal:  8 kB\nMemAvailable:    4 kB\n"), Some(4096));
        assert_eq!(available("MemTotal:  8 kB\n"), None);
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("memory.current", "700\n");
        write("memory.max", "max\n");
        assert_eq!(left_in_group(folder.path()), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in_group(folder.path()), Some(300));
        write("memory.stat", "anon 500\ninactive_file 200\n");
        assert_eq!(left_in_group(folder.path()), Some(500));
    }
}
