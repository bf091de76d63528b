//! Turns a URL and the arguments of HTTP into traffic.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use tollgate_probes::error::ProbeError;
use tollgate_results::units::Bytes;
use tollgate_results::workload::{self, Http, Resource, Trust};

use super::args::{Connections, HttpArgs, HttpVersion, OpenArgs};

/// Largest file of authorities, in bytes: the lists of whole systems are a fifth of it.
const LARGEST_CA: u64 = 1 << 20;

/// What `tollgate-probe serve` is asked for.
const RESPONSE: Bytes = Bytes(64);

/// Where requests go, as the user wrote it.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// The probe's own responder, by `HOST:PORT`.
    Own(&'a str),
    /// Any server.
    Url {
        secure: bool,
        authority: &'a str,
        path: String,
    },
}

impl<'a> Place<'a> {
    fn read(target: &'a str) -> Result<Self, String> {
        let (secure, rest) = match target.split_once("://") {
            None => return Ok(Self::Own(target)),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}` is not a scheme here; write http:// or https://"
                ));
            }
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a URL can't hold a user or a password here; leave them out".to_owned());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self::Url {
            secure,
            authority,
            path: format!("{slash}{path}"),
        })
    }
}

/// Returns the `HOST:PORT` to connect to; the port of a URL may follow from its scheme.
pub(super) fn host_and_port(target: &str) -> Result<String, ProbeError> {
    let place = Place::read(target).map_err(|fault| refused(target, fault))?;
    Ok(match place {
        Place::Own(target) => target.to_owned(),
        Place::Url {
            secure, authority, ..
        } => {
            // The last colon of an address in brackets is inside of them.
            let after = authority.rsplit(']').next().unwrap_or(authority);
            match (after.contains(':'), secure) {
                (true, _) => authority.to_owned(),
                (false, true) => format!("{authority}:443"),
                (false, false) => format!("{authority}:80"),
            }
        }
    })
}

/// Returns the traffic that was asked for.
pub(super) fn traffic(target: &str, open: &OpenArgs, args: &HttpArgs) -> Result<Http, ProbeError> {
    let place = Place::read(target).map_err(|fault| refused(target, fault))?;
    let (connections, parallel) = match args.connections {
        Connections::Kept(number) => (workload::Connections::Kept, number),
        Connections::New(number) => (workload::Connections::New, number),
    };
    let (tls, resource) = match place {
        Place::Own(_) => (None, None),
        Place::Url {
            secure,
            authority,
            path,
        } => {
            if args.response.is_some() {
                let fault = "--response is for HOST:PORT; what a URL gives is the server's choice";
                return Err(refused(target, fault.to_owned()));
            }
            let authority = authority.to_owned();
            let tls = secure.then(|| trust(args)).transpose()?;
            (tls, Some(Resource { authority, path }))
        }
    };
    if tls.is_none() && (args.insecure || args.ca.is_some()) {
        let fault = "--insecure and --ca are for TLS: write the target as https://HOST:PORT/PATH";
        return Err(refused(target, fault.to_owned()));
    }
    Ok(Http {
        // The connections of an open loop are a part of its load.
        parallel: if open.rate.is_some() { 1 } else { parallel },
        streams: args.streams,
        version: match args.version {
            HttpVersion::One => workload::HttpVersion::Http1,
            HttpVersion::Two => workload::HttpVersion::Http2,
        },
        tls,
        resource,
        ..Http::new(connections, args.response.unwrap_or(RESPONSE))
    })
}

fn trust(args: &HttpArgs) -> Result<Trust, ProbeError> {
    match &args.ca {
        _ if args.insecure => Ok(Trust::Any),
        None => Ok(Trust::System),
        Some(path) => read_authorities(path)
            .map(Trust::Authorities)
            .map_err(|error| {
                let context = format!("read the authorities in {}", path.display());
                ProbeError::refused(context, error, "name a file with certificates in PEM")
            }),
    }
}

fn read_authorities(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(LARGEST_CA + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_CA {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

fn refused(target: &str, fault: String) -> ProbeError {
    ProbeError::invalid(format!("ask `{target}`"), vec![fault])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, port, authority, path) in [
            ("http://a", "a:80", "a", "/"),
            ("https://a", "a:443", "a", "/"),
            (
                "HTTPS://a:8443/x/y?z=1#part",
                "a:8443",
                "a:8443",
                "/x/y?z=1",
            ),
            ("http://[::1]/x", "[::1]:80", "[::1]", "/x"),
            ("http://[::1]:8080?q", "[::1]:8080", "[::1]:8080", "/?q"),
        ] {
            assert_eq!(host_and_port(text).unwrap(), port, "{text}");
            let Place::Url {
                authority: found,
                path: of,
                ..
            } = Place::read(text).unwrap()
            else {
                panic!("{text} is no URL");
            };
            assert_eq!((found, &*of), (authority, path), "{text}");
        }
        assert_eq!(Place::read("a:1"), Ok(Place::Own("a:1")));
    }

    #[test]
    fn what_is_no_url_here_is_said() {
        for (text, told) in [
            ("ftp://a/", "http:// or https://"),
            ("http://u:p@a/", "password"),
        ] {
            assert!(Place::read(text).unwrap_err().contains(told), "{text}");
        }
    }
}
