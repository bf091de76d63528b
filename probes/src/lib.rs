//! tollgate-probes
