//! Whole connections to an agent: HTTP, paths, bodies. The agent has ended, so that a valid job or responder is
//! decoded, checked and refused, and nothing is ever sent.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::{Builder, Runtime};
use tollgate_probes::agent::Agent;

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_all().build().expect("a runtime"),
    );
}

fuzz_target!(|bytes: &[u8]| {
    RUNTIME.with_borrow_mut(|runtime| {
        runtime.block_on(async {
            let agent = Agent::default();
            agent.end().await;
            let (mut ours, theirs) = duplex(1 << 20);
            let say = async {
                // The agent may close at any byte.
                let _ = ours.write_all(bytes).await;
                let _ = ours.shutdown().await;
                let mut answers = Vec::new();
                let _ = ours.read_to_end(&mut answers).await;
                answers
            };
            let (served, answers) = tokio::join!(agent.connection(theirs), say);
            let _ = served;
            assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
        });
    });
});
