//! A headless service's name, which has to lead the client to the server's pod.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use tokio::time::{sleep, timeout};
use tollgate_results::agent::Named;
use tollgate_results::facts::NameFacts;

use crate::target::hosts::{Host, look_up};

/// How long after its pod is ready a name is first asked for. A DNS server that is asked too early remembers that there was
/// nothing for as long as its `ttl`: 5 s by default, 30 s with kubeadm's settings of `CoreDNS`.
const GRACE: Duration = Duration::from_secs(2);

/// How long it may lead nowhere: longer than an agent behind a slow port-forward may take to answer. A cluster without DNS
/// costs as long.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long it may lead to a pod that was there before: kubeadm's `CoreDNS` has `ttl 30`.
const STALE: Duration = Duration::from_secs(35);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks the client's pod where a name leads, until that is the server's pod.
pub(super) async fn leads(
    client: &Host,
    runner: [u8; 16],
    name: &str,
    to: SocketAddr,
) -> anyhow::Result<NameFacts> {
    let mut last = None;
    sleep(GRACE).await;
    let asked = timeout(STALE, async {
        loop {
            let led = timeout(PATIENCE, somewhere(client, runner, name, &mut last));
            match checked(name, led.await.ok()?, to.ip()) {
                Ok(facts) => return Some(facts),
                Err(error) => last = Some(error),
            }
            sleep(PAUSE).await;
        }
    });
    match asked.await {
        Ok(Some(facts)) => Ok(facts),
        _ => Err(last.unwrap_or_else(|| anyhow!("no answer in {} s", PATIENCE.as_secs()))),
    }
    .context("a headless service is asked for by its name, which takes a DNS server in the cluster")
}

/// Asks until the name leads somewhere.
async fn somewhere(
    client: &Host,
    runner: [u8; 16],
    name: &str,
    last: &mut Option<anyhow::Error>,
) -> Named {
    loop {
        match look_up(client, runner, name).await {
            Ok(found) => return found,
            Err(error) => *last = Some(error),
        }
        sleep(PAUSE).await;
    }
}

/// Keeps the addresses of the pod's own family. A pod that nobody else answers for is the only one.
fn checked(name: &str, found: Named, pod: IpAddr) -> anyhow::Result<NameFacts> {
    let mut addresses = found.addresses;
    addresses.retain(|address| address.is_ipv4() == pod.is_ipv4());
    let facts = NameFacts {
        name: name.to_owned(),
        addresses,
        pod,
        took_ns: found.took_ns,
    };
    ensure!(
        facts.holds(),
        "{name} leads to {:?}, and the server's pod is {pod}",
        facts.addresses
    );
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pod_s_own_address_will_do() {
        let pod: IpAddr = [10, 0, 1, 7].into();
        let other: IpAddr = [10, 0, 1, 8].into();
        let second: IpAddr = "fd00::7".parse().unwrap();
        let named = |addresses: &[IpAddr]| Named {
            addresses: addresses.to_vec(),
            took_ns: 7,
        };
        let facts = checked("far", named(&[second, pod]), pod).unwrap();
        assert_eq!(facts.addresses, [pod]);
        assert_eq!(
            checked("far", named(&[second, pod]), second)
                .unwrap()
                .addresses,
            [second]
        );
        for wrong in [&[other][..], &[pod, other], &[second], &[]] {
            let told = checked("far", named(wrong), pod).unwrap_err().to_string();
            assert!(told.contains("the server's pod is 10.0.1.7"), "{told}");
        }
    }
}
