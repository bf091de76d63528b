//! Which CPUs client and server run on.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tollgate_results::slice::Pinned;
use tollgate_results::workload::Cpu;

/// The CPUs that this process may use, and what each placement makes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    allowed: Vec<u32>,
    /// The server's CPUs where it is another machine.
    server: Option<Vec<u32>>,
}

impl Placement {
    /// Reads the CPUs that this process may use.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn of_this_process() -> nix::Result<Self> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        let allowed = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
        Ok(Self::new(
            allowed.filter_map(|cpu| u32::try_from(cpu).ok()).collect(),
        ))
    }

    /// Takes a list of CPUs, ascending.
    #[must_use]
    pub fn new(allowed: Vec<u32>) -> Self {
        Self {
            allowed,
            server: None,
        }
    }

    /// Takes the CPUs of two machines. Each end then has a CPU of its own, whatever the placement but `free`.
    #[must_use]
    pub const fn between(client: Vec<u32>, server: Vec<u32>) -> Self {
        Self {
            allowed: client,
            server: Some(server),
        }
    }

    /// Returns why this placement is impossible here, if it is.
    #[must_use]
    pub fn missing(&self, cpu: Cpu) -> Option<String> {
        (cpu == Cpu::Split && self.server.is_none() && self.allowed.len() < 2).then(|| {
            "`cpu = \"split\"` needs two CPUs and this process may use one; use \"shared\", or widen its \
             CPU affinity"
                .to_owned()
        })
    }

    /// Returns the CPUs of a placement. The highest ones are taken: device interrupts and the runner itself
    /// are more often on the lowest.
    #[must_use]
    pub fn pinned(&self, cpu: Cpu) -> Pinned {
        let last = self.allowed.last().copied();
        let before_last = self
            .allowed
            .len()
            .checked_sub(2)
            .and_then(|index| self.allowed.get(index))
            .copied();
        if let (Some(server), Cpu::Shared | Cpu::Split) = (&self.server, cpu) {
            return Pinned {
                client: last,
                server: server.last().copied(),
            };
        }
        match cpu {
            Cpu::Shared => Pinned {
                client: last,
                server: last,
            },
            Cpu::Split => Pinned {
                client: before_last,
                server: last,
            },
            Cpu::Free => Pinned {
                client: None,
                server: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_needs_two_cpus() {
        assert!(Placement::new(vec![3]).missing(Cpu::Split).is_some());
        assert!(Placement::new(vec![3]).missing(Cpu::Shared).is_none());
        let two = Placement::new(vec![0, 3]);
        assert!(two.missing(Cpu::Split).is_none());
        assert_eq!(
            two.pinned(Cpu::Split),
            Pinned {
                client: Some(0),
                server: Some(3)
            }
        );
        assert_eq!(
            two.pinned(Cpu::Shared),
            Pinned {
                client: Some(3),
                server: Some(3)
            }
        );
        let pair = Placement::between(vec![0, 1], vec![0, 1, 7]);
        for cpu in [Cpu::Shared, Cpu::Split] {
            assert!(pair.missing(cpu).is_none());
            let (client, server) = (Some(1), Some(7));
            assert_eq!(pair.pinned(cpu), Pinned { client, server });
        }
        assert_eq!(
            two.pinned(Cpu::Free),
            Pinned {
                client: None,
                server: None
            }
        );
    }
}
