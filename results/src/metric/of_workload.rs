//! Which metrics a workload has.

use super::Metric;
use crate::stream::Direction;
use crate::units::Bytes;
use crate::workload::{Connections, Http, Traffic, Workload};

/// A response up to this comes with its first byte, as a rule: a TLS record is as long.
const AT_ONCE: Bytes = Bytes(16 * 1024);

/// Returns the metrics of a workload, the main one first. An open loop has no CPU per request: its generator
/// spins, which is the price of sending on time and none of the path.
#[must_use]
pub const fn metrics(workload: &Workload) -> &'static [Metric] {
    use Metric::{
        ConnectP50, CpuPerMib, CpuPerRequest, LatenessP50, LatenessP99, Loss, P50, P90, P99, P999,
        PdvDownP50, PdvDownP99, PdvUpP50, PdvUpP99, PlanP50, PlanP90, PlanP99, PlanP999, Rate,
        ServiceP50, Throughput,
    };
    if workload.load.open().is_some() {
        return &[
            PlanP50,
            PlanP90,
            PlanP99,
            PlanP999,
            ServiceP50,
            Rate,
            Loss,
            LatenessP50,
            LatenessP99,
        ];
    }
    match &workload.traffic {
        Traffic::TcpStream { .. } => &[Throughput, CpuPerMib],
        Traffic::TcpCrr { .. } => &[P50, P90, P99, P999, ConnectP50, Rate, CpuPerRequest, Loss],
        Traffic::Http(http) => self::http(http),
        Traffic::TcpRr { .. }
        | Traffic::UdpRr { .. }
        | Traffic::IcmpEcho { .. }
        | Traffic::TcpSyn { .. } => &[P50, P90, P99, P999, Rate, CpuPerRequest, Loss],
        Traffic::UdpStream(stream) => match (stream.rate, stream.direction) {
            (None, _) => &[Throughput, Rate, CpuPerMib, Loss],
            (Some(_), Direction::Up) => &[Throughput, CpuPerMib, Loss, PdvUpP50, PdvUpP99],
            (Some(_), Direction::Down) => &[Throughput, CpuPerMib, Loss, PdvDownP50, PdvDownP99],
            (Some(_), Direction::Both) => &[
                Throughput, CpuPerMib, Loss, PdvUpP50, PdvUpP99, PdvDownP50, PdvDownP99,
            ],
        },
    }
}

/// Returns the metrics of a workload and of what goes beside it. The server's threads answer both, so that CPU time has no
/// share that is the requests' alone.
pub fn all_metrics(workload: &Workload) -> impl Iterator<Item = Metric> {
    let beside = workload.beside.map(|_| Metric::Beside);
    let own = metrics(workload).iter().copied();
    own.filter(move |metric| beside.is_none() || *metric != Metric::CpuPerRequest)
        .chain(beside)
}

/// Returns the metrics of HTTP in a closed loop: of the parts of an exchange those that tell more than the whole.
const fn http(http: &Http) -> &'static [Metric] {
    use Metric::{
        ConnectP50, CpuPerRequest, FirstByteP50, LastByteP50, Loss, P50, P90, P99, P999, Rate,
        TlsP50,
    };
    let in_parts = http.response.0 > AT_ONCE.0;
    match (http.connections, &http.tls) {
        (Connections::Kept, _) if in_parts => &[
            P50,
            P90,
            P99,
            P999,
            FirstByteP50,
            LastByteP50,
            Rate,
            CpuPerRequest,
            Loss,
        ],
        (Connections::Kept, _) => &[P50, P90, P99, P999, Rate, CpuPerRequest, Loss],
        (Connections::New, None) => &[
            P50,
            P90,
            P99,
            P999,
            ConnectP50,
            FirstByteP50,
            Rate,
            CpuPerRequest,
            Loss,
        ],
        (Connections::New, Some(_)) => &[
            P50,
            P90,
            P99,
            P999,
            ConnectP50,
            TlsP50,
            FirstByteP50,
            Rate,
            CpuPerRequest,
            Loss,
        ],
    }
}
