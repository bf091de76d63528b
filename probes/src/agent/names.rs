//! Where a name leads: what the resolver of this machine makes of it.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::timeout;
use tollgate_results::agent::Named;

use super::refusal::Refused;
use crate::clock::{Clock as _, Monotonic};

/// How long an answer is waited for: resolvers ask a server that is silent for 5 s, and then perhaps again.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns whether a text can be a host's name: letters, digits, `-`, `_` and `.`, as long as DNS carries it.
pub(super) fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=Named::LONGEST).contains(&text.len()) && text.bytes().all(good)
}

/// Looks a name up, as any program here would. A look-up that takes too long goes on by itself, and ends with the
/// resolver's own patience.
pub(super) async fn look_up(name: &str) -> Result<Named, Refused> {
    let started = Monotonic.now();
    let asked = (name.to_owned(), 0);
    let resolver = tokio::task::spawn_blocking(move || {
        let found = asked.to_socket_addrs()?;
        io::Result::Ok(each_once(found.map(|address| address.ip())))
    });
    let found = match timeout(DEADLINE, resolver).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => return Err(Refused::broken("the resolver fell over")),
        Err(_) => {
            return Err(nowhere(
                name,
                &format!("no answer in {} s", DEADLINE.as_secs()),
            ));
        }
    };
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(Named {
            addresses,
            took_ns: Monotonic.now().since(started),
        }),
        Ok(_) => Err(nowhere(name, "it has no address")),
        Err(error) => Err(nowhere(name, &error.to_string())),
    }
}

/// Resolvers tell an address once for each kind of socket.
fn each_once(all: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut once = Vec::new();
    for address in all {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

fn nowhere(name: &str, why: &str) -> Refused {
    let line = format!("`{name}` leads nowhere: {why}; look at /etc/resolv.conf of the probe");
    Refused::new(StatusCode::NOT_FOUND, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_plain() {
        let longest = "x".repeat(Named::LONGEST);
        for good in [
            "localhost",
            "tollgate-far-headless",
            "a_b.c.",
            "10.0.0.1",
            &longest,
        ] {
            assert!(is_name(good), "{good}");
        }
        let longer = format!("{longest}x");
        for bad in ["", "a b", "a/b", "ü", "a%20b", "a\n", &longer] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_is_told_once() {
        let [a, b]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        assert_eq!(each_once([b, a, b, a].into_iter()), [b, a]);
    }
}
