//! Jobs, responder and counters as a service over a byte stream.
