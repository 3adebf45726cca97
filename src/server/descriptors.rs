//! How many files and sockets the process may have open.

/// Raises the soft limit to the hard one, as every program that does without `select` may
/// (systemd's `LimitNOFILE` has a low soft limit for the others), and answers what it is now.
pub fn raise() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return LEAST;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: `raised` is a valid rlimit that outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

/// What every system allows.
const LEAST: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_some_and_asking_again_changes_nothing() {
        let limit = raise();
        assert!(limit > 64, "{limit}");
        assert_eq!(raise(), limit);
    }
}
