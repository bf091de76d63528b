//! The runner's side of an agent's door, over any byte stream: TLS, a tunnel, a port-forward.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tollgate_results::agent::PROTOCOL;
use tollgate_results::door::{ANSWER_LEN, Answer, AnswerHead, Knock};

/// Knocks, and waits to be let in. After that the stream carries the agent's HTTP.
///
/// # Errors
///
/// When the agent refuses, each time with the way to mend it, or what answers is no agent.
pub async fn enter<S>(stream: &mut S, knock: &Knock) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let gone = "the agent closed the connection; is this address a tollgate-probe agent's?";
    stream.write_all(&knock.encode()).await.context(gone)?;
    stream.flush().await.context(gone)?;
    let mut head = [0; ANSWER_LEN];
    stream.read_exact(&mut head).await.context(gone)?;
    let head = AnswerHead::decode(&head)
        .context("what answers is no tollgate-probe agent; check address and port")?;
    let mut reason = vec![0; usize::from(head.reason_len)];
    stream.read_exact(&mut reason).await.context(gone)?;
    match head.with_reason(&reason) {
        Answer::Welcome => Ok(()),
        Answer::WrongToken => bail!(
            "the agent doesn't know this token; join it again with the line that it prints at its start"
        ),
        Answer::Busy(reason) => bail!(
            "the agent is busy: {reason}; wait until that is done, or start another agent on another port"
        ),
        Answer::Version(version) => bail!(
            "the probe agent {version} speaks protocol {}, this tollgate {} speaks {PROTOCOL}; install the \
             same version of both",
            head.protocol,
            env!("CARGO_PKG_VERSION"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tollgate_results::door::Secret;

    use super::*;

    /// Knocks at something that answers with these bytes.
    async fn told(bytes: &[u8]) -> anyhow::Result<()> {
        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        enter(&mut ours, &Knock::new([1; 16], Secret::new([2; 32]))).await
    }

    #[tokio::test]
    async fn every_refusal_says_how_to_mend_it() {
        told(&Answer::Welcome.encode()).await.unwrap();
        for (answer, part) in [
            (Answer::WrongToken, "join it again"),
            (Answer::Busy("at 192.0.2.1".to_owned()), "at 192.0.2.1"),
            (Answer::Version("9.9.9".to_owned()), "9.9.9"),
        ] {
            let error = format!("{:#}", told(&answer.encode()).await.unwrap_err());
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_no_agent_is_told_so() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"TLGA",
            b"",
        ] {
            let error = format!("{:#}", told(bytes).await.unwrap_err());
            assert!(error.contains("agent"), "{error}");
        }
        let short = &Answer::Busy("some reason".to_owned()).encode()[..14];
        assert!(told(short).await.is_err());
    }
}
