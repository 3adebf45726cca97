//! Which meetings are held, in which order, and how long that will take. Pure.

use std::time::Duration;

use crate::tradeoff::figures::Topology;

/// One meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Which way the media goes.
    pub topology: Topology,
    /// People in it.
    pub n: u8,
    /// Counted from 1.
    pub round: u32,
    /// One of them is a real browser, whose CPU is measured.
    pub browser: bool,
}

/// All meetings: round by round, so that a machine that becomes slower does so for all ways alike,
/// and within a round all ways with the same number of people beside each other.
pub fn cases(rounds: u32, topologies: &[Topology], people: &[u8], browser: &[u8]) -> Vec<Case> {
    let mut cases = Vec::new();
    for round in 1..=rounds {
        for (people, browser) in [(people, false), (browser, true)] {
            for &n in people {
                let of = |&topology| Case {
                    topology,
                    n,
                    round,
                    browser,
                };
                // Whoever takes the mix or the streams of a hybrid meeting has been measured in
                // the meetings of one kind.
                let ways = topologies.iter();
                let ways = ways.filter(|way| !(browser && **way == Topology::Hybrid));
                cases.extend(ways.map(of));
            }
        }
    }
    cases
}

/// How long the rest takes, from how long the meetings so far took: those with a browser take
/// longer. None so far of a kind: as long as `expected`.
pub fn remaining(done: &[(Case, Duration)], rest: &[Case], expected: Duration) -> Duration {
    let mean = |browser: bool| {
        let took = done.iter().filter(|(case, _)| case.browser == browser);
        let took: Vec<Duration> = took.map(|(_, took)| *took).collect();
        let sum: Duration = took.iter().sum();
        match took.len() {
            0 => expected,
            many => sum / many as u32,
        }
    };
    rest.iter().map(|case| mean(case.browser)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_stand_beside_each_other_and_rounds_behind() {
        let ways = [Topology::Mesh, Topology::Mcu, Topology::Hybrid];
        let cases = cases(2, &ways, &[2, 3], &[4]);
        let written: Vec<String> = cases
            .iter()
            .map(|case| {
                let browser = if case.browser { "b" } else { "" };
                format!("{} {}{browser} {}", case.round, case.n, case.topology.key())
            })
            .collect();
        let round = |round: u32| {
            [
                "2 mesh", "2 mcu", "2 hybrid", "3 mesh", "3 mcu", "3 hybrid", "4b mesh", "4b mcu",
            ]
            .map(|case| format!("{round} {case}"))
        };
        assert_eq!(written, [round(1), round(2)].concat());
    }

    #[test]
    fn the_rest_takes_what_such_meetings_took() {
        let all = cases(1, &[Topology::Sfu, Topology::Mcu], &[2], &[3]);
        let seconds = Duration::from_secs;
        assert_eq!(remaining(&[], &all, seconds(9)), seconds(36));
        let done = [(all[0], seconds(4)), (all[1], seconds(6))];
        assert_eq!(remaining(&done, &all[2..], seconds(9)), seconds(18));
        assert_eq!(remaining(&done, &all, seconds(9)), seconds(28));
        assert_eq!(remaining(&done, &[], seconds(9)), Duration::ZERO);
    }
}
