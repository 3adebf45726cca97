//! The machine: what it is, how busy it is, and what a program and its children take of it.

use std::collections::HashMap;

use procfs::{Current, CurrentSI};

use crate::tradeoff::figures;

/// What this machine is; what it does not tell is said to be unknown.
pub fn machine() -> figures::Machine {
    let cpu = procfs::CpuInfo::current().ok();
    let model = cpu.as_ref().and_then(|cpu| cpu.model_name(0));
    let memory = procfs::Meminfo::current().map_or(0, |memory| memory.mem_total);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    figures::Machine {
        cpu: model.unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory,
        kernel: format!("Linux {}", kernel.trim()),
    }
}

/// What all cores have done since the machine started, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    busy: u64,
    all: u64,
}

impl Work {
    /// Up to now; none where the machine does not tell.
    pub fn now() -> Option<Self> {
        let cpu = procfs::KernelStats::current().ok()?.total;
        let waiting = cpu.idle + cpu.iowait.unwrap_or(0);
        let busy = cpu.user
            + cpu.nice
            + cpu.system
            + cpu.irq.unwrap_or(0)
            + cpu.softirq.unwrap_or(0)
            + cpu.steal.unwrap_or(0);
        Some(Self {
            busy,
            all: busy + waiting,
        })
    }

    /// The busy share of all cores since then, 0 to 1.
    pub fn busy_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        Some(self.busy.saturating_sub(before.busy) as f64 / all as f64)
    }
}

/// CPU seconds of a process and everything it started that still runs.
pub fn family_cpu_seconds(pid: u32) -> Option<f64> {
    let stats: Vec<_> = procfs::process::all_processes()
        .ok()?
        // One that ends while it is looked at is none of ours.
        .filter_map(|process| process.ok()?.stat().ok())
        .collect();
    let parents: HashMap<i32, i32> = stats.iter().map(|stat| (stat.pid, stat.ppid)).collect();
    let root = i32::try_from(pid).ok()?;
    parents.get(&root)?;
    let belongs = |mut pid: i32| {
        // A list that was read while processes came and went might have a circle in it.
        for _ in 0..parents.len() {
            if pid == root {
                return true;
            }
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let family = stats.iter().filter(|stat| belongs(stat.pid));
    let ticks: u64 = family.map(|stat| stat.utime + stat.stime).sum();
    Some(ticks as f64 / procfs::ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_machine_says_what_it_is() {
        let machine = machine();
        assert!(machine.cores > 0 && machine.memory > 1 << 28, "{machine:?}");
        assert!(machine.kernel.len() > "Linux ".len(), "{machine:?}");
    }

    #[test]
    fn what_children_take_is_counted() {
        // A shell whose child is busy.
        let mut shell = Command::new("sh")
            .args(["-c", "(while :; do :; done) & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut child = String::new();
        let output = shell.stdout.take().expect("its output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut child)
            .expect("its child's number");
        let before = Work::now().expect("the machine tells");
        let until = Instant::now() + Duration::from_secs(20);
        while family_cpu_seconds(shell.id()).expect("it runs") < 0.1 {
            assert!(Instant::now() < until, "a busy child takes no time");
            std::thread::yield_now();
        }
        let busy = Work::now().and_then(|now| now.busy_since(before));
        assert!(
            busy.is_some_and(|busy| busy > 0.0 && busy <= 1.0),
            "{busy:?}"
        );
        let kill = Command::new("kill").arg(child.trim()).status();
        assert!(kill.is_ok_and(|status| status.success()));
        shell.wait().expect("it ends with its child");
        assert_eq!(family_cpu_seconds(shell.id()), None);
    }
}
