//! tollgate-reports
