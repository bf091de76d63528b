//! The acceptance suite of Tollgate's statistics: golden vectors from other sources, and simulations that prove the
//! error rates which `docs/statistics.md` states.
//!
//! Every simulation has a fixed seed, a band, and *teeth*: a broken variant that must leave the band, so that the test is
//! known to see what it is for. `make acceptance` prints the figures.
//!
//! | test | where |
//! |---|---|
//! | G1, G2, G4 signed-rank intervals | `goldens` |
//! | G3 benchstat's U test | `benchstat` |
//! | G5 order statistics, t of G2, S12 rises | beside the functions, in `src/stats` and `src/analysis/scaling` |
//! | G6 Harrell-Davis | not shipped: for the 5,000 samples of a slice it gains nothing over the nearest rank |
//! | G7 HDR V2 logs | `hdr`; that merging is recording all, and the 0.1 % of quantiles: beside the histogram |
//! | G8 Otava's series | `otava` |
//! | S1, S2, S3 coverage | `coverage` |
//! | S4, S5 false alarms, false equivalence | `alarms` |
//! | S6 to S9 the gate | `gate` |
//! | S10 pooled percentiles | `pooled` |
//! | S11 change points | `changes` |
//! | S13 weighted splits | `split` |
//! | S14 outlying nodes of a mesh | `mesh` |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::print_stdout,
    reason = "the figures are what a reader runs it for"
)]

mod alarms;
mod benchstat;
mod changes;
mod coverage;
mod gate;
mod goldens;
mod hdr;
mod mesh;
mod otava;
mod pooled;
mod split;
mod world;
