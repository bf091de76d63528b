//! What verdicts, figures and words mean: the texts that every report shares.

use crate::model::{ClaimVerdict, Verdict};

/// Every verdict with what it means.
pub(super) const VERDICTS: [(Verdict, &str); 6] = [
    (
        Verdict::Slower,
        "worse than the reference, proved: the whole 95 % interval lies on the worse side",
    ),
    (
        Verdict::Faster,
        "better than the reference, proved: the whole 95 % interval lies on the better side",
    ),
    (
        Verdict::Equivalent,
        "closer to the reference than the margin, proved: the whole 90 % interval lies within it. Where the difference \
         is small but real, the table says “measurable”",
    ),
    (
        Verdict::Inconclusive,
        "none of these was proved; the report says how many rounds would decide",
    ),
    (
        Verdict::Insufficient,
        "too few rounds, or too few samples for that percentile, to say anything",
    ),
    (
        Verdict::Invalid,
        "the measurement isn't what it claims to be; its figures must not be used",
    ),
];

/// How claims are judged.
pub(super) const CLAIM_RULE: &str = "A claim is judged for each baseline and workload by the exact interval of the paired change, never by the \
     estimate: it holds where the whole 95 % interval lies within what is claimed. All comparisons of one claim are \
     judged together (Holm), so that chance makes any false statement about it in at most one of twenty campaigns";

/// Every verdict on a claim with what it means.
pub(super) const CLAIMS: [(ClaimVerdict, &str); 6] = [
    (
        ClaimVerdict::Holds,
        "proved: the whole interval of the change lies within what is claimed",
    ),
    (
        ClaimVerdict::HoldsInPart,
        "the change is proved to lie outside of what is claimed, but in the claimed direction: smaller or larger than claimed. \
         Of several comparisons: it holds, in full or in part, for some",
    ),
    (
        ClaimVerdict::DoesNotHold,
        "the change is proved to lie outside of what is claimed, and not proved to have its direction",
    ),
    (
        ClaimVerdict::Undecided,
        "none of these was proved: the interval lies across an end of what is claimed, or there are too few rounds",
    ),
    (
        ClaimVerdict::Untested,
        "an arm of the comparison can't run here",
    ),
    (
        ClaimVerdict::Invalid,
        "an arm isn't what it declares; nothing is said",
    ),
];

/// The method, one topic each: a heading and its text.
pub(super) const METHOD: [(&str, &str); 7] = [
    (
        "Rounds, not requests",
        "A round measures every arm once, back to back, in an order drawn at random. What disturbs the machine for longer \
         than a round hits all arms alike, and cancels when an arm is compared with the reference of its own round. Sample \
         size n is the number of rounds. Round 0 warms everything up and is discarded.",
    ),
    (
        "The estimate and its interval",
        "Each round gives one ratio, arm to reference. The estimate is the Hodges-Lehmann estimator: the median of all pairwise \
         averages of their logarithms. The interval is the exact one of the Wilcoxon signed-rank test; it assumes neither normal noise nor \
         the absence of outliers. Of twenty such 95 % intervals, nineteen hold the true ratio on average. A change is that of the value itself, in every table, figure and \
         sentence: a throughput that falls by a fifth changes by -20 %. The verdict says which way is worse.",
    ),
    (
        "Noise",
        "A round is dropped whole, without looking at which arm it would favour, when counters show that something else held \
         the CPU. The report says how many were dropped, and what the verdict would be with them.",
    ),
    (
        "Percentiles and loss",
        "A lost reply is an infinite delay: it counts in every percentile, which are taken over all requests sent. A percentile that falls \
         among lost requests reads “∞ (lost)”. Percentiles are taken from each slice's histogram and never averaged.",
    ),
    (
        "Round trips",
        "Latency is always the full round trip, from before the request is sent until the reply is read, and never halved.",
    ),
    (
        "Evidence",
        "Before and after each slice Tollgate reads counters that the datapath keeps anyway: packets over VXLAN devices, packets that met a \
         service's rules, translations at the socket, and what connection tracking says of the connection. An arm whose counters contradict what \
         it declares is invalid, however fast it is.",
    ),
    (
        "One kernel, two nodes",
        "In the lab both nodes are network namespaces of one machine. The datapath is the kernel's real one, but there is no wire: link speed, \
         network cards and their queues play no part. Differences between arms are what carries over to real nodes, not absolute figures.",
    ),
];

/// Words of this report.
pub(super) const GLOSSARY: [(&str, &str); 18] = [
    (
        "arm",
        "one configuration under comparison, such as one way to carry packets",
    ),
    ("reference", "the arm that the others are compared with"),
    (
        "claim",
        "a statement of folklore that the scenario tests, with a verdict for each baseline",
    ),
    ("baseline", "the arm that a claim compares another one with"),
    ("workload", "the traffic that is sent"),
    ("slice", "one arm measured once with one workload"),
    (
        "round",
        "one slice of every arm, back to back, in random order; the unit of replication",
    ),
    (
        "install",
        "the lifetime of one deployment of the arms; each resume makes a new one",
    ),
    ("campaign", "all rounds of one invocation"),
    (
        "margin",
        "the difference below which two arms count as equivalent; chosen before measuring",
    ),
    (
        "p50, p90, p99, p99.9",
        "the latency that 50, 90, 99 and 99.9 % of all requests sent don't exceed",
    ),
    ("RR", "request and response on an open connection"),
    (
        "CRR",
        "connect, request, response, close: a connection for each request",
    ),
    (
        "softirq",
        "kernel work on behalf of the network, done between tasks",
    ),
    (
        "steal",
        "CPU time that the hypervisor gave to other machines",
    ),
    ("pp", "percentage points: the difference of two percentages"),
    (
        "service",
        "a virtual address that stands for one or more servers (endpoints), as in Kubernetes",
    ),
    (
        "VXLAN",
        "an overlay: each packet travels between nodes inside a UDP packet",
    ),
];
