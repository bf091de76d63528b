//! What a sending thread does in a window: request/response loops and streams.
//!
//! - [`kept`]: exchanges over one connection, re-opened when it breaks (tcp-rr, http)
//! - [`secure`]: connections over TLS
//! - [`fresh`]: a connection for each exchange (tcp-crr, http)
//! - [`datagrams`]: requests and replies by datagrams (udp-rr, icmp-echo)
//! - [`open`]: requests on a schedule, many under way at once (tcp-rr, udp-rr, icmp-echo, http)
//! - [`stream`]: blocks to the far end, which confirms them
//! - [`fetch`]: blocks from the far end
//! - [`udp_stream`]: datagrams in one direction, without replies
//! - [`arranged`]: the connection over which a stream is arranged
//! - [`echo`] and [`http`]: what is exchanged over a connection; HTTP over many at once, and HTTP/2
//! - [`icmp`]: ICMP echo messages and the sockets that carry them
//! - [`sweep`]: many 5-tuples in turn
//! - [`syn`]: SYNs and what answers them (tcp-syn)
//! - [`tuned`]: connections that are sent on or received from in another way
//! - [`transport`] and [`socket`]: the seam to the network, and the kernel behind it
//! - [`wake`]: how a call that waits comes back in time
//! - [`stamped`]: connections whose packets the kernel stamps
//!
//! A loop does one write, one read, one reading of the clock and one record per request: the end of a reply
//! is the start of the next request, so that nothing between them goes unmeasured.

pub(crate) mod arranged;
pub(crate) mod datagrams;
pub(crate) mod echo;
pub(crate) mod fetch;
pub(crate) mod fresh;
pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod kept;
#[cfg(test)]
mod memory;
pub(crate) mod open;
pub(crate) mod secure;
pub(crate) mod socket;
pub(crate) mod stamped;
pub(crate) mod stream;
pub(crate) mod sweep;
pub(crate) mod syn;
pub(crate) mod transport;
pub(crate) mod tuned;
pub(crate) mod udp_stream;
pub(crate) mod wake;
pub(crate) mod window;

use window::Window;

use crate::recorder::Recorder;

/// Traffic of one kind from one thread.
pub(crate) trait Probe {
    /// Opens what can be opened before traffic. A failure shows in the window.
    fn open(&mut self, window: &Window<'_>);

    /// Returns why the job can't be had as it was asked for, if either end refuses. Asked once, after [`Probe::open`].
    fn refusal(&mut self) -> Option<String> {
        None
    }

    /// Sends until the window closes, and waits for what is under way.
    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder);
}
