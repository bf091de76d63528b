//! Which colour and shape an arm has, throughout a report.

/// Colours for arms beside the reference; the style sheet defines as many in light and dark.
const COLOURS: usize = 7;

/// The shape of an arm's markers: readable where its colour is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Down,
    Plus,
}

const SHAPES: [Shape; 7] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::Diamond,
    Shape::Cross,
    Shape::Down,
    Shape::Plus,
];

/// How an arm, or a sweep's series, is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the colour: 0 is the reference's neutral one.
    pub colour: usize,
    /// The shape of its markers.
    pub shape: Shape,
}

impl Mark {
    /// Number of the colour of what doesn't count.
    pub(super) const DISCARDED: usize = 63;

    /// The reference arm: a circle in the colour of text.
    pub(super) const REFERENCE: Self = Self {
        colour: 0,
        shape: Shape::Circle,
    };

    /// Returns the mark of the arm at this place among those that are not the reference. Colour and
    /// shape repeat with different periods, so that 42 arms are told apart.
    pub(super) const fn nth(place: usize) -> Self {
        Self {
            colour: 1 + place % COLOURS,
            shape: SHAPES[1 + place % (SHAPES.len() - 1)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_told_apart_by_colour_and_shape() {
        let marks: Vec<Mark> = (0..42).map(Mark::nth).collect();
        for (index, mark) in marks.iter().enumerate() {
            assert!(!marks[..index].contains(mark), "{index}");
            assert_ne!(mark.colour, Mark::REFERENCE.colour);
        }
        // Neighbours differ in both.
        for pair in marks.windows(2) {
            assert_ne!(pair[0].colour, pair[1].colour);
        }
    }
}
