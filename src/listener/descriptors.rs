//! File descriptors: each open connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process open as many files as the system allows it to; what it may without asking is far less. Gives how many that are.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let all = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Some systems grant less than they say: then what there was stays.
        if let Err(error) = setrlimit(Resource::Nofile, all) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    descriptor_limit()
}

/// How many files this process may have open.
pub(super) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_may_open_all_that_the_system_allows() {
        let raised = raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raised, limit.current.unwrap_or(u64::MAX));
        // Where the system keeps its word.
        if cfg!(target_os = "linux") {
            assert_eq!(limit.current, limit.maximum);
        }
    }
}
