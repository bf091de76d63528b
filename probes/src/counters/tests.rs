use super::*;

/// The few files of a small machine.
fn machine(path: &str) -> Option<String> {
    let text = match path {
        "/proc/stat" => "cpu  1 2 3 4 5 6 7 8\ncpu0 1 2 3 4 5 6 7 8\nctxt 99\n",
        "/proc/softirqs" => "  CPU0\n NET_RX: 5\n",
        "/proc/thread-self/net/softnet_stat" => "0000000a 0 0 0 0 0 0 0 0 0 0 0 00000000\n",
        "/proc/thread-self/net/snmp" => "Tcp: RetransSegs\nTcp: 3\n",
        "/proc/thread-self/net/netstat" => "TcpExt: ListenDrops\nTcpExt: 4\n",
        "/proc/thread-self/net/snmp6" => "Udp6NoPorts 5\n",
        "/proc/thread-self/net/sockstat" => "TCP: inuse 1 orphan 0 tw 6 alloc 1 mem 2\n",
        "/proc/pressure/cpu" => "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        "/proc/self/task/77/schedstat" => "8 9 10\n",
        "/proc/self/task/77/status" => "voluntary_ctxt_switches:\t11\n",
        _ => return None,
    };
    Some(text.to_owned())
}

#[test]
fn a_reading_joins_all_files() {
    let read = assemble(123, Some(100), &[77], &machine);
    assert_eq!(read.at_ns, 123);
    assert_eq!(read.cpus.len(), 1);
    assert_eq!(read.cpus[0].steal_ns, Some(80_000_000));
    assert_eq!(read.cpus[0].net_rx, Some(5));
    assert_eq!(read.cpus[0].net_tx, None);
    assert_eq!(read.cpus[0].softnet_processed, Some(10));
    assert_eq!(read.context_switches, Some(99));
    assert_eq!(read.pressure.unwrap().cpu_some_us, Some(7));
    assert_eq!(read.protocols["Tcp.RetransSegs"], 3);
    assert_eq!(read.protocols["TcpExt.ListenDrops"], 4);
    assert_eq!(read.protocols["Udp6.NoPorts"], 5);
    assert_eq!(read.time_wait, Some(6));
    let threads = read.threads.unwrap();
    assert_eq!((threads.threads, threads.cpu_ns), (1, 8));
    assert_eq!(threads.involuntary_switches, None);
}

#[test]
fn a_machine_that_shows_nothing_gives_no_zero() {
    let read = assemble(5, None, &[77], &|_| None);
    let nothing = Counters {
        at_ns: 5,
        ..Counters::default()
    };
    assert_eq!(read, nothing);
}

#[test]
fn each_file_may_be_missing_alone() {
    let whole = assemble(5, Some(100), &[77], &machine);
    for missing in [
        "/proc/stat",
        "/proc/softirqs",
        "/proc/thread-self/net/softnet_stat",
        "/proc/thread-self/net/snmp",
        "/proc/thread-self/net/netstat",
        "/proc/thread-self/net/snmp6",
        "/proc/thread-self/net/sockstat",
        "/proc/pressure/cpu",
        "/proc/self/task/77/schedstat",
        "/proc/self/task/77/status",
    ] {
        let file = |path: &str| (path != missing).then(|| machine(path)).flatten();
        let part = assemble(5, Some(100), &[77], &file);
        assert_ne!(part, whole, "{missing}");
        assert_eq!(part.cpus.len(), 1, "{missing}");
        // What the other files say is the same with and without this one.
        for (name, value) in &part.protocols {
            assert_eq!(whole.protocols.get(name), Some(value), "{missing}");
        }
    }
}

#[test]
fn a_thread_that_is_gone_makes_the_sum_unknown() {
    assert_eq!(assemble(5, Some(100), &[77, 78], &machine).threads, None);
}
