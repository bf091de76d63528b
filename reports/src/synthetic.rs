//! Synthetic campaigns.
