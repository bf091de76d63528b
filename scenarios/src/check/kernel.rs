//! Settings of an arm's kernel and the line between its nodes: names that a kernel may have, numbers in their ranges.
//! Whether this machine's kernel takes them is found out by trying, not here.

use tollgate_results::arm::{Family, Name, Place, Wire};
use tollgate_results::kernel::Kernel;
use tollgate_results::line::{Line, Queue};
use tollgate_results::stream::TcpOptions;
use tollgate_results::units::{Bytes, Nanoseconds, Share};

use super::range;
use crate::document::Document;
use crate::file::{ArmTable, KernelTable, LineTable};

/// Least MTU under IPv6 (RFC 8200 §5).
const LEAST_IPV6: u32 = 1280;

/// What an overlay's headers may take of the MTU between the nodes: those of `wireguard` over IPv6 are the longest.
const MOST_HEADERS: u32 = 80;

/// Smallest loss that is not none: one packet in a million.
const LEAST_LOSS: f64 = 1e-6;

/// What is wrong: the keys below the arm, and a sentence.
type Wrong = (Vec<&'static str>, String);

/// Checks what an arm's table says of its kernel.
pub(super) fn kernel(document: &mut Document<'_>, arm: &Name, table: &ArmTable) -> Kernel {
    let Some(settings) = &table.kernel else {
        return Kernel::default();
    };
    let mut wrong: Vec<Wrong> = Vec::new();
    if settings.sysctls.len() > Kernel::MOST_SYSCTLS {
        let (count, most) = (settings.sysctls.len(), Kernel::MOST_SYSCTLS);
        wrong.push((
            vec!["kernel", "sysctls"],
            format!("{count} sysctls; at most {most} are set"),
        ));
    }
    for (name, value) in &settings.sysctls {
        wrong.extend(
            Kernel::sysctl_fault(name, value).map(|fault| (vec!["kernel", "sysctls"], fault)),
        );
    }
    let names = [
        (
            "congestion",
            &settings.congestion,
            TcpOptions::congestion_fault as fn(&str) -> _,
        ),
        ("qdisc", &settings.qdisc, Kernel::qdisc_fault),
    ];
    for (key, name, check) in names {
        let fault = name.as_deref().and_then(check);
        wrong.extend(fault.map(|fault| (vec!["kernel", key], fault)));
    }
    wrong.extend(mtu_fault(settings, table).map(|fault| (vec!["kernel", "mtu"], fault)));
    note(document, arm, wrong);
    Kernel {
        sysctls: settings.sysctls.clone(),
        congestion: settings.congestion.clone(),
        qdisc: settings.qdisc.clone(),
        rps: settings.rps,
        // What doesn't fit is out of range, which was said.
        mtu: settings.mtu.and_then(|mtu| u32::try_from(mtu).ok()),
        conntrack: settings.conntrack,
    }
}

fn mtu_fault(settings: &KernelTable, table: &ArmTable) -> Option<String> {
    let (least, most) = Kernel::MTUS;
    let least = match (table.family, table.wire) {
        (Family::Ipv4, _) => least,
        (Family::Ipv6, Wire::Native) => LEAST_IPV6,
        (Family::Ipv6, _) => LEAST_IPV6 + MOST_HEADERS,
    };
    range(settings.mtu?, (i64::from(least), i64::from(most)))
}

/// Checks what an arm's table says of the line between its nodes.
pub(super) fn line(document: &mut Document<'_>, arm: &Name, table: &ArmTable) -> Option<Line> {
    let settings = table.line.as_ref()?;
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut key = |key: &'static str, fault: Option<String>| {
        wrong.extend(fault.map(|fault| (vec!["line", key], fault)));
    };
    let times = (Nanoseconds(0), Line::LONGEST);
    key("delay", range(settings.delay, times));
    key("jitter", range(settings.jitter, times));
    key(
        "rate",
        settings.rate.and_then(|rate| range(rate, Line::RATES)),
    );
    key("queue", queue_fault(settings));
    key("loss", loss_fault(settings));
    key("burst", burst_fault(settings));
    key(
        "seed",
        settings.seed.and_then(|seed| range(seed, (0, i64::MAX))),
    );
    if table.place != Place::OtherNode {
        let why = format!(
            "no packet crosses a line between the nodes with place = \"{}\"; remove one of the two",
            table.place
        );
        wrong.push((vec!["line"], why));
    }
    let line = built(settings);
    let held = Bytes(line.held_bytes().unwrap_or(0));
    if wrong.is_empty() && held > Line::MOST_HELD {
        let message = format!(
            "holds up to {:.1} MiB in each direction, more than {}; lower rate, delay or queue",
            mebibytes(held),
            Line::MOST_HELD
        );
        wrong.push((vec!["line"], message));
    }
    note(document, arm, wrong);
    Some(line)
}

#[expect(clippy::cast_precision_loss, reason = "read to one decimal")]
fn mebibytes(bytes: Bytes) -> f64 {
    bytes.0 as f64 / f64::from(1 << 20)
}

fn built(settings: &LineTable) -> Line {
    let queue = settings.queue.unwrap_or(Line::QUEUE);
    Line {
        delay: settings.delay,
        jitter: settings.jitter,
        rate: settings.rate,
        queue: settings.rate.map(|_| queue),
        loss_ppm: millionths(settings.loss),
        // What doesn't fit is out of range, which is said.
        burst: settings.burst.and_then(|burst| u32::try_from(burst).ok()),
        seed: settings.seed.and_then(|seed| u64::try_from(seed).ok()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is no less than 0, and the cast saturates"
)]
fn millionths(share: Share) -> u32 {
    (share.0 * 1e6).round() as u32
}

fn queue_fault(settings: &LineTable) -> Option<String> {
    let queue = settings.queue?;
    if settings.rate.is_none() {
        return Some("a line without a rate has no queue; write a rate, or remove it".to_owned());
    }
    match queue {
        Queue::Bytes(bytes) => range(bytes, Line::QUEUES),
        Queue::Time(time) => range(time, Line::QUEUE_TIMES),
    }
}

fn loss_fault(settings: &LineTable) -> Option<String> {
    let most = f64::from(Line::MOST_LOSS_PPM) / 1e6;
    let loss = settings.loss.0;
    range(settings.loss, (Share(0.0), Share(most))).or_else(|| {
        (loss > 0.0 && loss < LEAST_LOSS)
            .then(|| format!("{} is less than one in a million; write 0%", settings.loss))
    })
}

fn burst_fault(settings: &LineTable) -> Option<String> {
    let burst = settings.burst?;
    if settings.loss.0 <= 0.0 {
        return Some("nothing is lost; write a loss, or remove it".to_owned());
    }
    let (least, most) = Line::BURSTS;
    range(burst, (i64::from(least), i64::from(most)))
}

fn note(document: &mut Document<'_>, arm: &Name, wrong: Vec<Wrong>) {
    for (keys, message) in wrong {
        if !document.is_broken(&["arm", arm.as_str()]) {
            let path = [&["arm", arm.as_str()], keys.as_slice()].concat();
            document.fault(&path, message);
        }
    }
}
