//! Prints how long each kind of service path takes to program, in namespaces of its own (as root):
//! `cargo run --release -p tollgate-lab --example programming_times -- 1000 10000`.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use tollgate_lab::bpf::SocketLb;
use tollgate_lab::rules;
use tollgate_lab::services::ServiceSet;
use tollgate_results::arm::{Family, Position, Service, Services};

type Times = Result<(Duration, Option<Duration>), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut counts: Vec<u32> = env::args()
        .skip(1)
        .map(|count| count.parse())
        .collect::<Result<_, _>>()?;
    if counts.is_empty() {
        counts = vec![1000, 10_000];
    }
    println!(
        "{:<18}{:>10}{:>16}{:>20}",
        "kind", "services", "programmed", "counters read"
    );
    for service in Service::ALL
        .iter()
        .filter(|service| service.is_rules() || **service == Service::SocketLb)
    {
        for count in &counts {
            let services = Services {
                count: *count,
                position: Position::Median,
                ..Services::default()
            };
            let server = ([10, 244, 1, 2], 8080).into();
            let set = ServiceSet::new(&services, Family::Ipv4, &[server], 1);
            // A thread's namespace ends with it.
            let work = thread::spawn(move || times(*service, &set));
            let (programmed, read) = work.join().expect("no thread panics")?;
            let read = read.map_or_else(String::new, |read| format!("{read:.2?}"));
            println!(
                "{service:<18}{count:>10}{:>16}{read:>20}",
                format!("{programmed:.2?}")
            );
        }
    }
    Ok(())
}

fn times(service: Service, set: &ServiceSet) -> Times {
    unshare(CloneFlags::CLONE_NEWNET)?;
    if service == Service::SocketLb {
        let directory = cgroup()?;
        let result = socket_lb(&directory, set);
        fs::remove_dir(directory)?;
        return result;
    }
    let start = now();
    rules::program(service, set, [192, 168, 77, 1].into())?;
    let programmed = start.elapsed();
    let start = now();
    let counted = rules::service_packets(service, set)?;
    Ok((programmed, counted.map(|_| start.elapsed())))
}

fn socket_lb(directory: &PathBuf, set: &ServiceSet) -> Times {
    let cgroup = File::open(directory)?;
    let start = now();
    let balancer = SocketLb::load(cgroup.as_fd(), set)?;
    let programmed = start.elapsed();
    let start = now();
    balancer.translations()?;
    Ok((programmed, Some(start.elapsed())))
}

/// Makes a control group for the time of one measurement.
fn cgroup() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after
            .starts_with("cgroup2 ")
            .then(|| before.split(' ').nth(4))?
    });
    let mount = mount.ok_or_else(|| io::Error::other("no cgroup2 is mounted"))?;
    let directory = PathBuf::from(mount).join(format!("tollgate-times.{}", std::process::id()));
    fs::create_dir(&directory)?;
    Ok(directory)
}

#[expect(clippy::disallowed_methods, reason = "an example has no clock.rs")]
fn now() -> Instant {
    Instant::now()
}
