//! `agent`: on a descriptor, or on the network with the line that joins it.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use tollgate_probes::agent::{Listen, NetworkAgent, run_on_fd};
use tollgate_probes::error::ProbeError;
use tollgate_results::door::{Invitation, Trust};

use super::args::AgentArgs;

/// Serves until its runner goes, or until it is interrupted.
pub(super) fn run(args: &AgentArgs) -> Result<(), ProbeError> {
    let Some(address) = args.listen else {
        // clap asks for one of the two.
        return run_on_fd(args.fd.unwrap_or(-1));
    };
    let state_dir = match &args.state_dir {
        Some(dir) => dir.clone(),
        None => state_dir()?,
    };
    let listen = Listen {
        address,
        plain: args.plain,
        state_dir,
        token_file: args.token_file.clone(),
    };
    let agent = NetworkAgent::listen(&listen)?;
    let text = announcement(agent.invitation(), &listen, io::stdout().is_terminal());
    let mut out = io::stdout();
    // A reader who went away is no error.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    agent.run()
}

/// Returns the folder that the user's programs keep their state in.
fn state_dir() -> Result<PathBuf, ProbeError> {
    let of = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    let home = || Some(of("HOME")?.join(".local/state"));
    let base = of("XDG_STATE_HOME").or_else(home);
    base.map(|base| base.join("tollgate")).ok_or_else(|| {
        let why = "neither XDG_STATE_HOME nor HOME names one; give --state-dir";
        ProbeError::invalid(
            "find a folder for certificate and token",
            vec![why.to_owned()],
        )
    })
}

/// Says how to join. The token itself goes to a terminal only: what a service prints ends in a log.
fn announcement(invitation: &Invitation, listen: &Listen, terminal: bool) -> String {
    let Invitation { address, trust, .. } = invitation;
    let (tls, trust) = match trust {
        Trust::Pinned(fingerprint) => ("TLS", fingerprint.to_string()),
        Trust::Plain => ("without TLS, for a tunnel", "plain".to_owned()),
    };
    let token = if terminal {
        invitation.token.reveal()
    } else {
        let kept = listen.state_dir.join("agent-token");
        let file: &Path = listen.token_file.as_deref().unwrap_or(&kept);
        let host = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(host, _)| host);
        format!("$(ssh {host} cat {})", file.display())
    };
    let quote = if terminal { '\'' } else { '"' };
    format!(
        "Agent listening on {} ({tls}). Join it from the runner's machine:\n\n \
         echo {quote}{address} {trust} {token}{quote} | tollgate join far\n\n",
        listen.address,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        let digits = "ab".repeat(32);
        format!("192.0.2.2:7788 sha256:{digits} {}", "cd".repeat(32))
            .parse()
            .unwrap()
    }

    fn listen() -> Listen {
        Listen {
            address: "0.0.0.0:7788".parse().unwrap(),
            plain: false,
            state_dir: "/state".into(),
            token_file: None,
        }
    }

    #[test]
    fn a_terminal_gets_one_line_to_paste() {
        let text = announcement(&invitation(), &listen(), true);
        let line = text
            .lines()
            .find(|line| line.contains("tollgate join"))
            .unwrap();
        let quoted = line.split('\'').nth(1).unwrap();
        assert_eq!(quoted.parse(), Ok(invitation()));
        assert!(
            line.starts_with(" echo"),
            "a blank keeps it out of most shells' history"
        );
    }

    #[test]
    fn a_log_never_gets_the_token() {
        let text = announcement(&invitation(), &listen(), false);
        assert!(!text.contains(&"cd".repeat(32)));
        assert!(
            text.contains("$(ssh 192.0.2.2 cat /state/agent-token)"),
            "{text}"
        );
    }
}
