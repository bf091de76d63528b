//! tollgate-scenarios
