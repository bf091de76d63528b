//! Which HTTP jobs are possible.

use tollgate_results::units::Bytes;
use tollgate_results::workload::{Connections, Http, HttpVersion, Resource, Trust};

use super::number;
use crate::tls;
use crate::wire::MAX_TCP_PAYLOAD;

/// Longest authority of a request, in bytes: as long as DNS names get.
const LONGEST_AUTHORITY: usize = 255;

/// Longest path of a request, in bytes.
const LONGEST_PATH: usize = 4 * 1024;

/// Adds every fault of HTTP traffic.
pub(super) fn faults(faults: &mut Vec<String>, http: &Http) {
    let most = Bytes(MAX_TCP_PAYLOAD.into());
    number(faults, "response", http.response, (Bytes(0), most));
    let (least, most) = Http::PARALLEL;
    let most = match http.connections {
        Connections::Kept => most,
        Connections::New => Http::MOST_NEW,
    };
    number(
        faults,
        "parallel (connections at a time)",
        http.parallel,
        (least, most),
    );
    number(faults, "streams", http.streams, Http::STREAMS);
    let many = http.version == HttpVersion::Http2 && http.connections == Connections::Kept;
    if http.streams > 1 && !many {
        faults.push("streams is for version 2 on kept connections".to_owned());
    }
    if let Some(resource) = &http.resource {
        self::resource(faults, resource);
    }
    if let Some(Trust::Authorities(pem)) = &http.tls
        && let Some(why) = tls::fault_of_authorities(pem)
    {
        faults.push(format!("the authorities to trust can't be used: {why}"));
    }
}

/// What stands in a request as it is must not end a line or be empty.
fn resource(faults: &mut Vec<String>, resource: &Resource) {
    let Resource { authority, path } = resource;
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || authority.len() > LONGEST_AUTHORITY || !visible(authority) {
        faults.push(format!(
            "the authority must have 1 to {LONGEST_AUTHORITY} visible ASCII characters"
        ));
    }
    if !path.starts_with('/') || path.len() > LONGEST_PATH || !visible(path) {
        faults.push(format!(
            "the path must start with / and have up to {LONGEST_PATH} visible ASCII characters; write others as %XX"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_named_at_once() {
        let mut found = Vec::new();
        let bad = Http {
            parallel: 129,
            streams: 2,
            tls: Some(Trust::Authorities("none".to_owned())),
            resource: Some(Resource {
                authority: "a\r\nb".to_owned(),
                path: "x y".to_owned(),
            }),
            ..Http::new(Connections::New, Bytes(1 << 21))
        };
        faults(&mut found, &bad);
        let line = found.join("; ");
        for part in [
            "response is 2 MiB",
            "parallel (connections at a time) is 129 (allowed: 1 to 128)",
            "streams is for version 2",
            "authority",
            "path must start",
            "no certificate",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        found.clear();
        faults(&mut found, &Http::new(Connections::Kept, Bytes(64)));
        assert_eq!(found, Vec::<String>::new());
    }
}
