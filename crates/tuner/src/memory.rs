//! How much memory the process has used.

/// Largest resident memory so far in bytes; 0 where the system does not say.
pub(crate) fn peak_resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}
