//! A weighted proxy for `scripts/split-rates.py`: hands each connection of loopback on to one of two ports, the second with a
//! given probability. Usage: `weighted-proxy STABLE_PORT CANARY_PORT CANARY_SHARE SEED`; prints its own port.
#![expect(clippy::print_stdout, reason = "its output is the port")]

use std::net::Ipv4Addr;

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [stable, canary, share, seed] = args.as_slice() else {
        anyhow::bail!("usage: weighted-proxy STABLE_PORT CANARY_PORT CANARY_SHARE SEED");
    };
    let ports: [u16; 2] = [stable.parse()?, canary.parse()?];
    let share: f64 = share.parse()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed.parse()?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (mut near, _) = listener.accept().await.context("accept")?;
        let port = ports[usize::from(rng.random_bool(share))];
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                // Who goes away is no fault.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
