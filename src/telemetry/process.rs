//! The process itself.

/// The most memory this process ever held, in bytes; 0 where the system does not tell.
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    let kilobytes = line
        .split_whitespace()
        .next()
        .and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}
