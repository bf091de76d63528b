//! Bad scenario files: one line for each fault, all at once.

use proptest::prelude::*;
use tollgate_scenarios::Scenario;

use crate::{SMALL, expect, refused};

#[test]
fn all_faults_come_at_once_in_the_order_of_the_file() {
    let text = r#"
schema = 1
name = "other"
reference = "nativ"
[rounds]
count = 0
slice = 30
warmpu = "1s"
[arm.native]
wire = "vxlam"
[arm.x]
pods = "host"
wire = "vxlan"
services = { count = 10 }
[workload.rr.tcp-rr]
payload = "2 MiB"
load = { open = "10 k" }
[workload.y.tcp-r]
"#;
    insta::assert_snapshot!(refused(text).join("\n"), @r#"
    small.toml:3:1: name: `other` is not the file's name; write name = "small" or rename the file
    small.toml:4:1: reference: no arm is named `nativ`; did you mean `native`?
    small.toml:6:1: rounds.count: 0 is out of range; write 1 to 1000
    small.toml:7:9: rounds.slice: `30` is not a length of time with a unit (h, m, s, ms, us, ns); write "30s" for seconds
    small.toml:8:1: rounds.warmpu: `warmpu` is unknown here; did you mean `warmup`?
    small.toml:10:8: arm.native.wire: `vxlam` is unknown here; did you mean `vxlan`?
    small.toml:13:1: arm.x.wire: pods = "host" sends from the node's own address, which `vxlan` never carries; write wire = "native", or pods = "bridge"
    small.toml:14:1: arm.x.services: services that nothing translates; write service = "iptables-legacy" or another, or remove the key
    small.toml:16:1: workload.rr.tcp-rr.payload: 2 MiB is out of range; write 1 B to 1 MiB
    small.toml:17:17: workload.rr.tcp-rr.load.open: `10 k` is not a rate with a unit (/s, k/s, M/s); write for example "10k/s"
    small.toml:18:13: workload.y.tcp-r: `tcp-r` is unknown here; did you mean `tcp-rr`?
    small.toml: about: is missing; write about = "What ... costs against ..."
    "#);
}

#[test]
fn broken_syntax_is_shown_where_it_is() {
    insta::assert_snapshot!(refused("schema = 1\nschema = 1\nname = small\n").join("\n"), @r"
    small.toml:2:1: `schema` stands here a second time; keep one
    small.toml:3:8: string values must be quoted, expected literal string
    ");
}

#[test]
fn an_empty_file_says_all_that_it_lacks() {
    insta::assert_snapshot!(refused("").join("\n"), @r#"
    small.toml: schema: is missing; write schema = 1
    small.toml: name: is missing; write name = "small"
    small.toml: about: is missing; write about = "What ... costs against ..."
    small.toml: workload: no workload; write for example [workload.rr.tcp-rr]
    small.toml: arm: nothing to compare; write at least two arms, for example [arm.native] and [arm.vxlan]
    small.toml: reference: is missing; write reference = "native"
    "#);
}

#[test]
fn wrong_types_and_units_are_told_in_plain_words() {
    let cases = [
        (
            "schema = 1",
            "schema = \"1\"",
            "small.toml:2:10: schema: expected a whole number, found string \"1\"",
        ),
        (
            "[arm.native]",
            "[rounds]\nslice = 0.5\n[arm.native]",
            "small.toml:8:9: rounds.slice: `0.5` is not a length of time with a unit (h, m, s, ms, us, ns); write \"0.5s\" for seconds",
        ),
        (
            "[arm.native]",
            "[rounds]\nmargin = \"5\"\n[arm.native]",
            "small.toml:8:10: rounds.margin: `5` is not a share in percent; write \"5%\"",
        ),
        (
            "[arm.native]",
            "[rounds]\nslice = true\n[arm.native]",
            "small.toml:8:9: rounds.slice: expected a quantity with its unit, in quotes, found boolean `true`",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr.tcp-rr]\npayload = 64",
            "small.toml:17:11: workload.rr.tcp-rr.payload: `64` is not an amount of data with a unit (B, kB, KiB, MB, MiB, GB, GiB); write \"64 B\" for bytes",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr.tcp-rr]\npayload = \"64 Bytes\"",
            "small.toml:17:11: workload.rr.tcp-rr.payload: `64 Bytes` is not an amount of data with a unit (B, kB, KiB, MB, MiB, GB, GiB); write for example \"64 B\"",
        ),
        (
            "[arm.native]",
            "[arm.Native]\n[arm.native]",
            "small.toml:7:6: arm.Native: `Native` is not a name; write up to 63 lower-case letters, digits, `-`, `.` or `@`, starting with a letter or digit",
        ),
        (
            "wire = \"vxlan\"",
            "wire = 3",
            "small.toml:10:8: arm.vxlan.wire: expected a string in quotes",
        ),
        (
            "[arm.native]",
            "[rounds]\ncount = 2.5\n[arm.native]",
            "small.toml:8:9: rounds.count: expected a whole number, found floating point `2.5`",
        ),
        (
            "count = [1, 100]",
            "count = \"10\"",
            "small.toml:14:22: arm.ipt.services.count: expected a whole number, or a list of them for a sweep, found string \"10\"",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr]",
            "small.toml:16:1: workload.rr: a workload has one kind: write it once as [workload.NAME.KIND], for example [workload.rr.tcp-rr]",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr.tcp-rr]\n[workload.rr.udp-rr]",
            "small.toml:16:11: workload.rr: a workload has one kind: write it once as [workload.NAME.KIND], for example [workload.rr.tcp-rr]",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr.tcp-rr]\nload = \"open\"",
            "small.toml:17:8: workload.rr.tcp-rr.load: an open loop needs its rate; write load = { open = \"10k/s\" }",
        ),
        (
            "[workload.rr.tcp-rr]",
            "[workload.rr.tcp-rr]\ntimeout = \"1s\"",
            "small.toml:17:1: workload.rr.tcp-rr.timeout: `timeout` is unknown here; there are `payload`, `cpu`, `load`, `timestamps`, `ports`, `beside`",
        ),
    ];
    for (from, to, line) in cases {
        expect(from, to, &[line]);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let rounds = |line: &str| format!("[rounds]\n{line}\n[arm.native]");
    for (line, told) in [
        ("count = 0", "count: 0 is out of range; write 1 to 1000"),
        ("count = -3", "count: -3 is out of range; write 1 to 1000"),
        (
            "count = 5000000000",
            "count: 5000000000 is out of range; write 1 to 1000",
        ),
        (
            "slice = \"1ms\"",
            "slice: 1ms is out of range; write 10ms to 10m",
        ),
        (
            "warmup = \"2m\"",
            "warmup: 2m is out of range; write 0ns to 1m",
        ),
        (
            "margin = \"60%\"",
            "margin: 60% is out of range; write 0.1% to 50%",
        ),
        (
            "margin = \"0%\"",
            "margin: 0% is out of range; write 0.1% to 50%",
        ),
    ] {
        expect(
            "[arm.native]",
            &rounds(line),
            &[&format!("small.toml:8:1: rounds.{told}")],
        );
    }
    for (kind, line, told) in [
        (
            "tcp-rr",
            "payload = \"0 B\"",
            "payload: 0 B is out of range; write 1 B to 1 MiB",
        ),
        (
            "udp-rr",
            "payload = \"16 B\"",
            "payload: 16 B is out of range; write 32 B to 64000 B",
        ),
        (
            "udp-rr",
            "timeout = \"1us\"",
            "timeout: 1us is out of range; write 1ms to 10s",
        ),
        (
            "tcp-stream",
            "flows = 129",
            "flows: 129 is out of range; write 1 to 128",
        ),
        (
            "udp-rr",
            "timestamps = true\nload = { open = \"1k/s\" }",
            "timestamps: needs a closed loop; write load = \"closed\", or false",
        ),
        (
            "tcp-rr",
            "ports = 1",
            "ports: 1 is out of range; write 2 to 256",
        ),
        (
            "udp-rr",
            "ports = 16\nload = { open = \"1k/s\" }",
            "ports: a sweep needs a closed loop without timestamps; write load = \"closed\"",
        ),
        (
            "http",
            "response = \"2 MiB\"",
            "response: 2 MiB is out of range; write 0 B to 1 MiB",
        ),
    ] {
        let table = format!("[workload.rr.{kind}]\n{line}");
        let expected = format!("small.toml:17:1: workload.rr.{kind}.{told}");
        expect("[workload.rr.tcp-rr]", &table, &[&expected]);
    }
}

#[test]
fn an_open_loop_that_cannot_be_is_refused() {
    for (kind, load, column, told) in [
        (
            "tcp-rr",
            "{ open = \"2M/s\" }",
            10,
            ".open: 2M/s is out of range; write 1/s to 1M/s",
        ),
        (
            "tcp-rr",
            "{ arrivals = \"poisson\" }",
            1,
            ": has no rate; write load = { open = \"10k/s\" }",
        ),
        (
            "udp-rr",
            "{ open = \"1k/s\", connections = 2000 }",
            25,
            ".connections: 2000 is out of range; write 1 to 1024",
        ),
        (
            "http",
            "{ open = \"1k/s\", connections = 8, in-flight = 7 }",
            42,
            ".in-flight: 7 is out of range; write 8 to 65536",
        ),
        (
            "http",
            "{ open = \"1k/s\", conections = 8 }",
            25,
            ".conections: `conections` is unknown here; did you mean `connections`?",
        ),
        (
            "http",
            "{ open = \"1k/s\", arrivals = \"random\" }",
            36,
            ".arrivals: `random` is unknown here; there are `constant`, `poisson`",
        ),
        (
            "tcp-crr",
            "{ open = \"1k/s\" }",
            1,
            ": only tcp-rr, udp-rr, icmp-echo and http have an open loop; write load = \"closed\"",
        ),
        (
            "tcp-rr",
            "10",
            8,
            ": expected \"closed\", or a table such as { open = \"10k/s\" }, found integer `10`",
        ),
    ] {
        let table = format!("[workload.rr.{kind}]\nload = {load}");
        let expected = format!("small.toml:17:{column}: workload.rr.{kind}.load{told}");
        expect("[workload.rr.tcp-rr]", &table, &[&expected]);
    }
    expect(
        "[workload.rr.tcp-rr]",
        "[workload.rr.http]\nconnections = \"new\"\nload = { open = \"1k/s\" }",
        &[
            "small.toml:18:1: workload.rr.http.load: an open loop of http needs kept connections, version 1.1 and no TLS; write load = \"closed\", or leave those out",
        ],
    );
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    expect(
        "reference = \"native\"",
        "reference = \"none\"",
        &[
            "small.toml:5:1: reference: no arm is named `none`; there are `native`, `vxlan`, `ipt@1`, `ipt@100`",
        ],
    );
    expect(
        "reference = \"native\"",
        "reference = \"ipt\"",
        &[
            "small.toml:5:1: reference: `ipt` is a sweep, and a reference is one arm; name a level, for example `ipt@1`",
        ],
    );
    expect(
        "[arm.native]",
        "[arm.native]\nreference = \"vxlan\"",
        &[
            "small.toml:8:1: arm.native.reference: this arm is the scenario's reference: it is compared with no other; remove the key",
        ],
    );
    expect(
        "wire = \"vxlan\"",
        "reference = \"vxlan\"",
        &[
            "small.toml:10:1: arm.vxlan.reference: the arm is compared with itself (`vxlan` → `vxlan`); name another reference",
        ],
    );
    expect(
        "wire = \"vxlan\"",
        "reference = \"a\"\n[arm.a]\nreference = \"vxlan\"",
        &[
            "small.toml:12:1: arm.a.reference: the arm is compared with itself (`a` → `vxlan` → `a`); name another reference",
        ],
    );
}

#[test]
fn workloads_that_compare_nothing_are_refused() {
    expect(
        "wire = \"vxlan\"",
        "workloads = []",
        &[
            "small.toml:10:1: arm.vxlan.workloads: runs no workload; name one, or remove the key to run all",
        ],
    );
    expect(
        "wire = \"vxlan\"",
        "workloads = [\"rr\", \"rr\", \"ccr\"]",
        &[
            "small.toml:10:1: arm.vxlan.workloads: `rr` is there twice",
            "small.toml:10:1: arm.vxlan.workloads: no workload is named `ccr`; did you mean `crr`?",
        ],
    );
    let lines = refused(&SMALL.replace("[arm.native]", "[arm.native]\nworkloads = [\"rr\"]"));
    assert_eq!(
        lines,
        [
            "small.toml:10:6: arm.vxlan.workloads: runs `crr`, which its reference `native` does not: nothing to compare; add it there or remove it here",
            "small.toml:13:6: arm.ipt.workloads: runs `crr`, which its reference `native` does not: nothing to compare; add it there or remove it here",
        ]
    );
    let only_rr = SMALL
        .replace("[arm.native]", "[arm.native]\nworkloads = [\"rr\"]")
        .replace("wire = \"vxlan\"", "workloads = [\"rr\"]")
        .replace("service = ", "workloads = [\"rr\"]\nservice = ");
    let lines = refused(&only_rr);
    assert_eq!(
        lines,
        [
            "small.toml:20:11: workload.crr: runs on no arm; name it in an arm's `workloads`, or remove it",
        ]
    );
}

#[test]
fn echo_requests_that_cannot_be_are_refused() {
    for (line, told) in [
        (
            "payload = \"15 B\"",
            "payload: 15 B is out of range; write 16 B to 64000 B",
        ),
        (
            "timeout = \"0ms\"",
            "timeout: 0ns is out of range; write 1ms to 10s",
        ),
        (
            "socket = \"row\"",
            "socket: `row` is unknown here; did you mean `raw`?",
        ),
        (
            "timestamps = true\nload = { open = \"1k/s\" }",
            "timestamps: needs a closed loop; write load = \"closed\", or false",
        ),
    ] {
        let text = SMALL
            .replace(
                "[workload.rr.tcp-rr]",
                &format!("[workload.rr.icmp-echo]\n{line}"),
            )
            .replace("service = ", "workloads = [\"crr\"]\nservice = ");
        let lines = refused(&text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(&format!("workload.rr.icmp-echo.{told}")),
            "{lines:?}"
        );
    }
    // A service answers on its ports alone, and an echo request has none.
    expect(
        "[workload.rr.tcp-rr]",
        "[workload.rr.icmp-echo]",
        &[
            "small.toml:12:6: arm.ipt: `rr` is icmp-echo, which no service answers; leave it out of this arm's `workloads`, or write service = \"none\"",
        ],
    );
}

#[test]
fn names_are_kept_apart_from_sweep_levels() {
    expect(
        "[arm.vxlan]",
        "[arm.\"vxlan@1\"]",
        &[
            "small.toml:9:6: arm.\"vxlan@1\": `@` is for the levels of a sweep; leave it out of the name",
        ],
    );
    let long = format!("[arm.{}]", "x".repeat(60));
    let lines = refused(&SMALL.replace("[arm.ipt]", &long));
    assert!(lines[0].contains("is too long for a name"), "{lines:?}");
}

#[test]
fn a_value_that_cannot_be_read_hides_nothing_and_invents_nothing() {
    // The unreadable service is one fault: its services are not called services without a service.
    expect(
        "service = \"iptables-legacy\"",
        "service = \"iptabels-legacy\"",
        &[
            "small.toml:13:11: arm.ipt.service: `iptabels-legacy` is unknown here; did you mean `iptables-legacy`?",
        ],
    );
    // A workload that cannot be read is still there for those that name it.
    let text = SMALL.replace("wire = \"vxlan\"", "workloads = [\"rr\"]");
    let lines = refused(&text.replace("[workload.rr.tcp-rr]", "[workload.rr.tcp-xx]"));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn text_that_would_steer_a_terminal_is_refused() {
    let lines = refused(&SMALL.replace("VXLAN against", "VXLAN\\u001b[31m against"));
    assert_eq!(
        lines,
        ["small.toml:4:1: about: has a line break or control character; write one line"]
    );
}

#[test]
fn a_file_of_nothing_but_faults_ends_soon() {
    let text: Vec<_> = (0..5_000).map(|n| format!("key{n} = {n}")).collect();
    let lines = refused(&text.join("\n"));
    assert_eq!(lines.len(), 51);
    assert_eq!(
        lines[50],
        "small.toml: there may be more at fault; mend these first"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file).display().to_string();
    let told = |file: &str| Scenario::load(&path(file)).unwrap_err().to_string();
    let gone = told("gone.toml");
    assert!(
        gone.contains("gone.toml: failed to read the file: No such file"),
        "{gone}"
    );
    std::fs::write(path("bytes.toml"), b"ab\xff").unwrap();
    assert!(told("bytes.toml").ends_with("not UTF-8 text from byte 3 on"));
    std::fs::write(path("big.toml"), vec![b'#'; 300 << 10]).unwrap();
    assert!(told("big.toml").ends_with("larger than 256 KiB: nobody wrote that by hand"));
    std::fs::create_dir(path("folder.toml")).unwrap();
    assert!(told("folder.toml").contains("failed to read the file: Is a directory"));
    std::fs::write(path("small.toml"), SMALL).unwrap();
    assert_eq!(Scenario::load(&path("small.toml")).unwrap(), crate::small());
    let names: Vec<_> = tollgate_scenarios::shipped()
        .iter()
        .map(|known| format!("`{}`", known.name))
        .collect();
    assert_eq!(
        Scenario::load("nonsense").unwrap_err().to_string(),
        format!(
            "nonsense: neither a shipped scenario nor a file; there are {}",
            names.join(", ")
        )
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Scenario::parse("small.toml", &text);
    }

    #[test]
    fn no_damage_to_a_good_file_panics(at in 0..SMALL.len(), length in 0..40_usize, insert in "\\PC{0,8}") {
        let mut bytes = SMALL.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(faults) = Scenario::parse("small.toml", &text) {
            prop_assert!(!faults.as_slice().is_empty());
            for line in faults.to_string().lines() {
                prop_assert!(line.starts_with("small.toml"), "{}", line);
            }
        }
    }
}
