//! An anatomy as one HTML page: sentences, waterfalls, differences, tables.

use maud::{DOCTYPE, Markup, html};
use tollgate_results::anatomy::Followed;

use super::super::anatomy as text;
use super::super::figures::{self, Figure};
use super::super::number;
use super::{head, parts};
use crate::anatomy::{Anatomy, ArmAnatomy, CountedPrograms, Judged, WayAnatomy};

/// Writes an anatomy as one page that needs nothing else.
#[must_use]
pub fn anatomy_page(anatomy: &Anatomy) -> Vec<u8> {
    page(anatomy).into_string().into_bytes()
}

fn page(anatomy: &Anatomy) -> Markup {
    let subject = &anatomy.subject;
    let followed: Vec<Followed> = Followed::ALL
        .into_iter()
        .filter(|followed| anatomy.arms.iter().any(|arm| arm.followed == *followed))
        .collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} – Tollgate anatomy", subject.scenario)))
            body {
                a.skip href="#answer" { "Skip to the answer" }
                header {
                    p.eyebrow {
                        b { "Tollgate" } " anatomy · scenario " (subject.scenario) " · " (number::date(subject.started_unix_ms))
                    }
                    h1 { "Where the time goes: " (subject.about) }
                }
                main {
                    (answer(anatomy))
                    (contents(&followed))
                    @for followed in &followed { (traffic(anatomy, *followed)) }
                    (method(anatomy))
                }
                footer {
                    p {
                        "Written by Tollgate " (subject.tool_version) " from " code { "anatomy.json" } " beside this page. It can "
                        "be written again: " code { "tollgate anatomy --from FOLDER" } "."
                    }
                }
            }
        }
    }
}

fn answer(anatomy: &Anatomy) -> Markup {
    let sentences = anatomy
        .differences
        .iter()
        .flat_map(|difference| &difference.sentences);
    html! {
        section.answer #answer aria-labelledby="answer-title" {
            h2 #answer-title { "The answer" }
            ul.answers {
                @for sentence in sentences {
                    li { (parts::badge("warning", "Δ", "difference")) p { (sentence) } }
                }
                @for arm in &anatomy.arms {
                    @if let Judged::Invalid(reasons) = &arm.judged {
                        li {
                            (parts::badge("invalid", "✕", "invalid"))
                            p { (arm.arm) ", " (arm.followed) ": " (reasons.join("; ")) }
                        }
                    }
                }
                @for skipped in &anatomy.subject.skipped {
                    li { (parts::badge("warning", "!", "skipped")) p { (skipped.arm) ": " (skipped.reason) } }
                }
            }
            p { (text::conduct(anatomy)) }
        }
    }
}

fn contents(followed: &[Followed]) -> Markup {
    html! {
        nav aria-label="Sections of this page" {
            ul {
                @for followed in followed { li { a href={ "#" (followed) } { (title(*followed)) } } }
                li { a href="#method" { "Method" } }
            }
        }
    }
}

const fn title(followed: Followed) -> &'static str {
    match followed {
        Followed::TcpRr => "TCP, later packets of a connection",
        Followed::UdpRr => "UDP",
        Followed::TcpConnect => "TCP, first packets of a connection",
    }
}

fn traffic(anatomy: &Anatomy, followed: Followed) -> Markup {
    let arms: Vec<&ArmAnatomy> = anatomy
        .arms
        .iter()
        .filter(|arm| arm.followed == followed)
        .collect();
    let differences: Vec<Figure> = anatomy
        .differences
        .iter()
        .filter(|difference| difference.followed == followed)
        .flat_map(|difference| {
            let ways = difference.ways.iter();
            ways.map(|way| figures::hop_differences(difference, way))
        })
        .collect();
    let id = followed.as_str();
    html! {
        section #(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title(followed)) " (" (followed) ")" }
            (checks(&arms))
            @if !differences.is_empty() {
                h3 { "What makes the difference" }
                (parts::gallery(&differences))
            }
            @for arm in arms {
                h3 { (arm.arm) }
                p.about { (arm.description) ". " (text::followed(arm)) "." }
                @for way in arm.ways.iter().filter(|way| !way.places.is_empty()) {
                    p.about { (text::way(way.way)) ": " (way.places.join(" → ")) }
                }
                (parts::gallery(&waterfalls(anatomy, arm)))
                details {
                    summary { "Every hop in figures" }
                    @for way in arm.ways.iter().filter(|way| !way.hops.is_empty()) { (hops(arm, way)) }
                }
                @if let Some(counted) = &arm.programs { (programs(arm, counted)) }
            }
        }
    }
}

fn programs(arm: &ArmAnatomy, counted: &CountedPrograms) -> Markup {
    let inner = html! {
        thead {
            tr { th { "place" } th { "program" } th.n { "runs" } th.n { "ns a run" } th.n { "95 % interval" } }
        }
        tbody {
            @for program in &counted.programs {
                @let (ns, interval) = text::each(program);
                tr {
                    th { (program.place) }
                    td { code { (program.program) } }
                    td.n { (number::count(program.runs)) }
                    td.n { (ns) }
                    td.n { (interval) }
                }
            }
        }
    };
    let title = format!("{}, {}: {}", arm.arm, arm.followed, text::counting(counted));
    parts::table(&title, &inner)
}

fn waterfalls(anatomy: &Anatomy, arm: &ArmAnatomy) -> Vec<Figure> {
    let longest = figures::longest_way(anatomy, arm);
    arm.ways
        .iter()
        .filter(|way| !way.hops.is_empty())
        .map(|way| figures::waterfall(arm, way, longest))
        .collect()
}

/// The table by which a reader checks that the hops may be believed.
fn checks(arms: &[&ArmAnatomy]) -> Markup {
    let known = |ns: Option<f64>| ns.map_or_else(|| number::UNKNOWN.to_owned(), number::micros);
    let inner = html! {
        thead {
            tr {
                th { "arm" } th.n { "without the clock" } th.n { "with it" } th.n { "probe effect" }
                th.n { "sum of hops" } th.n { "stated cost" } th.n { "sum less cost" } th.n { "off" } th { "hops" }
            }
        }
        tbody {
            @for arm in arms {
                tr {
                    th { (arm.arm) }
                    td.n { (known(arm.plain_ns)) }
                    td.n { (known(arm.clocked_ns)) }
                    td.n { (text::effect(arm.effect.as_ref()).trim_matches([' ', '(', ')'])) }
                    td.n { (known(arm.sum_ns)) }
                    td.n { (number::micros(arm.cost_ns)) }
                    td.n { (known(arm.sum_ns.map(|sum| sum - arm.cost_ns))) }
                    td.n { (arm.off.map_or_else(String::new, |off| format!("{:+.1} %", 100.0 * off))) }
                    td { (judged(arm)) }
                }
            }
        }
    };
    parts::table("Round trips, and whether the hops add up to them", &inner)
}

fn judged(arm: &ArmAnatomy) -> Markup {
    match arm.judged {
        Judged::Agrees => parts::badge("equivalent", "✓", "agree"),
        Judged::Invalid(_) => parts::badge("invalid", "✕", "invalid"),
    }
}

fn hops(arm: &ArmAnatomy, way: &WayAnatomy) -> Markup {
    let inner = html! {
        thead {
            tr {
                th { "place" } th { "hop" } th.n { "median less cost" } th.n { "as seen: p10" } th.n { "p50" } th.n { "p90" }
                th.n { "p99" }
            }
        }
        tbody {
            @for hop in &way.hops {
                tr {
                    th { (hop.key.place) }
                    td { (hop.words) }
                    td.n { (text::micros(hop.ns)) }
                    td.n { (text::micros(hop.p10_ns)) }
                    td.n { (text::micros(hop.seen_ns)) }
                    td.n { (text::micros(hop.p90_ns)) }
                    td.n { (text::micros(hop.p99_ns)) }
                }
            }
        }
    };
    let title = format!(
        "{}, {}, {} in µs",
        arm.arm,
        arm.followed,
        text::way(way.way)
    );
    parts::table(&title, &inner)
}

fn method(anatomy: &Anatomy) -> Markup {
    let netfilter: Vec<_> = anatomy
        .subject
        .netfilter
        .iter()
        .map(|hook| hook.as_str())
        .collect();
    html! {
        section #method aria-labelledby="method-title" {
            h2 #method-title { "Method" }
            div.columns {
                div {
                    h3 { "The clock" }
                    p {
                        "eBPF programs at tracepoints (net_dev_queue, netif_rx, netif_receive_skb, napi_gro_receive_entry, "
                        "sk_data_ready) follow one packet at a time by the address of its buffer, from the sender's first device to "
                        "the receiver's socket. Both ends in user space read the same clock."
                        @if !netfilter.is_empty() { " Parts of netfilter had stamps of their own: " (netfilter.join(", ")) "." }
                    }
                }
                div {
                    h3 { "What it costs" }
                    p {
                        "Round trips are measured with the clock and without it, in random order, in every round: the headline is "
                        "the one without. The stated cost is taken off each hop that it falls into. The sum of all hops, both ways, "
                        "less that cost must be within 5 % of the round trips without the clock, else the hops are invalid."
                    }
                }
                div {
                    h3 { "What eBPF programs cost" }
                    p {
                        "Where an arm has eBPF programs, the kernel counts and times their runs (BPF_ENABLE_STATS) in slices of their own: "
                        "timing slows every program down, so that no other figure comes from them. The kernel's reading of its clock, twice "
                        "a run, is in the nanoseconds. In all other slices it counted not one run of these programs, else the arm is invalid."
                    }
                }
                div {
                    h3 { "What a difference is" }
                    p {
                        "Hops of the same kind at the same place are compared, round by round: Hodges-Lehmann estimate and exact "
                        "signed-rank interval. On one CPU, times are the CPU's work; a wake-up is the switch from one end to the other."
                    }
                }
            }
        }
    }
}
