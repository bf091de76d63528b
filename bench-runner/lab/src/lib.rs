//! tollgate-lab
