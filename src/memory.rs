//! Gives memory back that nobody uses any more.
//!
//! Pictures, decoders and encoders of people who have left are freed, but the C library keeps the
//! room between what is still in use, one lot for each thread that ever asked for any. A server that
//! runs for a month with people coming and going would look as large as its fullest hour.

use std::sync::Weak;
use std::time::Duration;

use crate::stats::Stats;

/// How often it is looked whether pipelines have ended.
const LOOK: Duration = Duration::from_secs(15);

/// Gives back what pipelines that ended have left, until the figures are gone.
pub async fn watch(stats: Weak<Stats>) {
    let mut before = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pipelines) = stats.upgrade().map(|stats| stats.pipelines()) else {
            return;
        };
        if pipelines < before {
            // An error means that the runtime stops.
            let _ = tokio::task::spawn_blocking(give_back).await;
        }
        before = pipelines;
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: malloc_trim(3) takes a number of bytes to keep, may be called at any time from any
    // thread, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}
