//! A plot: two axes on a canvas, and what is drawn between them.

use plotters::coord::CoordTranslate as _;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;

use super::super::palette::Mark;
use super::{Anchor, Axis, Canvas, Ink, UNIT, units};

/// Room around the plot for labels, in pixels of the nominal size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::render) struct Margins {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Margins {
    /// Room for figures at the left, for the vertical axis's title above and for ticks and title below.
    pub(in crate::render) const USUAL: Self = Self {
        left: 46.0,
        right: 10.0,
        top: 26.0,
        bottom: 40.0,
    };

    /// Height that is left for the plot of a drawing of this height.
    pub(in crate::render) fn height(&self, drawing: u32) -> f64 {
        f64::from(drawing) - self.top - self.bottom
    }
}

/// Two axes on a canvas.
pub(in crate::render) struct Plot<'c, 'a> {
    canvas: &'c Canvas<'a>,
    x: Axis,
    y: Axis,
    from: (f64, f64),
    to: (f64, f64),
    coordinates: Cartesian2d<RangedCoordf64, RangedCoordf64>,
}

impl<'c, 'a> Plot<'c, 'a> {
    /// Draws grid, ticks and titles of two axes on a canvas of this size.
    pub(in crate::render) fn new(
        canvas: &'c Canvas<'a>,
        (width, height): (u32, u32),
        margins: Margins,
        x: Axis,
        y: Axis,
    ) -> Self {
        Self::behind(canvas, (width, height), margins, x, y, |_| ())
    }

    /// As [`Plot::new`], with something painted behind the grid.
    pub(in crate::render) fn behind(
        canvas: &'c Canvas<'a>,
        (width, height): (u32, u32),
        margins: Margins,
        x: Axis,
        y: Axis,
        paint: impl FnOnce(&Self),
    ) -> Self {
        let from = (margins.left, margins.top);
        let to = (
            f64::from(width) - margins.right,
            f64::from(height) - margins.bottom,
        );
        let span = |from: f64, to: f64| units(from)..units(to);
        let coordinates = Cartesian2d::new(
            0.0..1.0,
            0.0..1.0,
            (span(from.0, to.0), units(to.1)..units(from.1)),
        );
        let plot = Self {
            canvas,
            x: x.thinned(to.0 - from.0),
            y,
            from,
            to,
            coordinates,
        };
        paint(&plot);
        plot.axes();
        plot
    }

    /// The canvas, for what stands outside the axes.
    pub(in crate::render) const fn canvas(&self) -> &Canvas<'a> {
        self.canvas
    }

    /// The horizontal axis.
    pub(in crate::render) const fn x(&self) -> &Axis {
        &self.x
    }

    /// Left and right edge of the plot, in pixels of the nominal size.
    pub(in crate::render) const fn sides(&self) -> (f64, f64) {
        (self.from.0, self.to.0)
    }

    /// Where a point lies, in pixels of the nominal size.
    pub(in crate::render) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = self
            .coordinates
            .translate(&(self.x.place(x), self.y.place(y)));
        (f64::from(x) / UNIT, f64::from(y) / UNIT)
    }

    /// Draws a line through the points whose coordinates are finite.
    pub(in crate::render) fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let points: Vec<_> = points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(x, y)| self.at(x, y))
            .collect();
        if points.len() > 1 {
            self.canvas.line(&points, ink, width);
        }
    }

    /// Draws an arm's marker where its coordinates are finite.
    pub(in crate::render) fn marker(&self, x: f64, y: f64, mark: Mark) {
        if x.is_finite() && y.is_finite() {
            self.canvas.marker(self.at(x, y), mark);
        }
    }

    /// Fills the plot's whole height between two values of the horizontal axis.
    pub(in crate::render) fn band(&self, low: f64, high: f64, ink: Ink) {
        let (left, right) = (self.at(low, 0.0).0, self.at(high, 0.0).0);
        self.canvas
            .fill((left, self.from.1), (right, self.to.1), ink);
    }

    /// Fills the plot's whole width between two values of the vertical axis.
    pub(in crate::render) fn belt(&self, low: f64, high: f64, ink: Ink) {
        let (bottom, top) = (self.at(self.x.low, low).1, self.at(self.x.low, high).1);
        self.canvas
            .fill((self.from.0, top), (self.to.0, bottom), ink);
    }

    /// Draws a line over the plot's whole width.
    pub(in crate::render) fn horizontal(&self, y: f64, ink: Ink, width: f64) {
        let y = self.at(self.x.low, y).1;
        self.canvas
            .line(&[(self.from.0, y), (self.to.0, y)], ink, width);
    }

    /// Fills between two lines that share their horizontal places, half seen through.
    pub(in crate::render) fn between(&self, points: &[(f64, f64, f64)], ink: Ink) {
        let upper = points.iter().map(|&(x, _, high)| self.at(x, high));
        let lower = points.iter().rev().map(|&(x, low, _)| self.at(x, low));
        self.canvas
            .wash(&upper.chain(lower).collect::<Vec<_>>(), ink);
    }

    /// Draws a line over the plot's whole height.
    pub(in crate::render) fn vertical(&self, x: f64, ink: Ink, width: f64) {
        let x = self.at(x, 0.0).0;
        self.canvas
            .line(&[(x, self.from.1), (x, self.to.1)], ink, width);
    }

    fn axes(&self) {
        let ((left, top), (right, bottom)) = (self.from, self.to);
        for tick in &self.y.ticks {
            let y = self.at(self.x.low, tick.value).1;
            self.canvas.line(&[(left, y), (right, y)], Ink::Grid, 1.0);
            self.canvas
                .text((left - 6.0, y), &tick.label, Anchor::Right, Ink::Muted);
        }
        for tick in &self.x.ticks {
            let x = self.at(tick.value, self.y.low).0;
            self.canvas
                .line(&[(x, top), (x, bottom + 4.0)], Ink::Grid, 1.0);
            self.canvas
                .text((x, bottom + 12.0), &tick.label, Anchor::Middle, Ink::Muted);
        }
        self.canvas
            .line(&[(left, bottom), (right, bottom)], Ink::Muted, 1.0);
        let middle = f64::midpoint(left, right);
        self.canvas.text(
            (middle, bottom + 30.0),
            &self.x.title,
            Anchor::Middle,
            Ink::Muted,
        );
        self.canvas
            .text((4.0, top - 16.0), &self.y.title, Anchor::Left, Ink::Muted);
    }
}
