//! The floor of TCP request/response: a minimal blocking write/read loop with the probe's payload and clock,
//! without any of its features. `make peers` compares the probe with it.
//!
//! `floor serve ADDR:PORT` answers one connection after another; `floor run ADDR:PORT SECONDS` prints the
//! median round trip in nanoseconds. Pin both with `taskset`.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which measures"
)]
#![expect(
    clippy::print_stdout,
    reason = "a program of its own, whose result is one number"
)]

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PAYLOAD: usize = 64;

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address),
        ["run", address, seconds] => {
            let seconds = seconds.parse().map_err(io::Error::other)?;
            println!("{}", run(address, Duration::from_secs(seconds))?);
            Ok(())
        }
        _ => Err(io::Error::other(
            "usage: floor serve ADDR:PORT | floor run ADDR:PORT SECONDS",
        )),
    }
}

fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; PAYLOAD];
        while stream
            .read_exact(&mut buffer)
            .and_then(|()| stream.write_all(&buffer))
            .is_ok()
        {}
    }
}

/// Returns the median of all round trips after a tenth of the time, in nanoseconds.
fn run(address: &str, time: Duration) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; PAYLOAD];
    let mut samples = Vec::with_capacity(4_000_000);
    let start = Instant::now();
    while start.elapsed() < time && samples.len() < samples.capacity() {
        let sent = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        samples.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let mut warm = samples.split_off(samples.len() / 10);
    warm.sort_unstable();
    warm.get(warm.len() / 2)
        .copied()
        .ok_or_else(|| io::Error::other("no round trip"))
}
