//! How a series looks, on plots and in text: colour, shape and dashes, so that none of the three is needed alone.

use std::collections::BTreeSet;

/// Colours for what was tuned; colour 0 is the untuned model's.
const COLOURS: usize = 6;

/// The look of a series or a method: the same wherever it occurs on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesStyle {
    /// 0 for the untuned model, 1 and more for what was tuned.
    slot: usize,
}

impl SeriesStyle {
    /// The untuned model's.
    pub const UNTUNED: Self = Self { slot: 0 };

    /// Styles for methods in their order, by the mode of each: `base` looks as the untuned model, the first `full`, `head` and
    /// `lora` always have the same colour, and no two methods have the same style.
    pub fn assign<'a>(modes: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let modes: Vec<&str> = modes.into_iter().collect();
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        let mut styles: Vec<Option<Self>> = modes
            .iter()
            .map(|mode| {
                let slot = match *mode {
                    "base" => return Some(Self::UNTUNED),
                    "full" => 1,
                    "head" => 2,
                    "lora" => 3,
                    _ => return None,
                };
                taken.insert(slot).then_some(Self { slot })
            })
            .collect();
        for style in styles.iter_mut().filter(|style| style.is_none()) {
            // Slots 1 to 3 are kept for the modes that they belong to as long as others are free.
            let free =
                |range: std::ops::RangeInclusive<usize>| range.into_iter().find(|slot| !taken.contains(slot));
            let slot = free(4..=COLOURS)
                .or_else(|| free(1..=usize::MAX))
                .unwrap_or(COLOURS);
            taken.insert(slot);
            *style = Some(Self { slot });
        }
        styles.into_iter().flatten().collect()
    }

    /// The class that carries the colour.
    pub fn class(self) -> String {
        match self.slot {
            0 => "s0".to_owned(),
            slot => format!("s{}", (slot - 1) % COLOURS + 1),
        }
    }

    /// Which shape marks its points.
    pub(super) fn shape(self) -> Shape {
        const SHAPES: [Shape; COLOURS] = [
            Shape::Circle,
            Shape::Square,
            Shape::Diamond,
            Shape::Up,
            Shape::Down,
            Shape::Hexagon,
        ];
        match self.slot {
            0 => Shape::Cross,
            // The second round has other shapes with the same colours.
            slot => SHAPES[(slot - 1 + (slot - 1) / COLOURS) % COLOURS],
        }
    }

    /// The dashes of its lines; none for the first round of colours.
    pub(super) fn dashes(self) -> Option<&'static str> {
        const DASHES: [Option<&str>; 4] = [None, Some("7 3"), Some("2 3"), Some("9 3 2 3")];
        match self.slot {
            0 => Some("4 3"),
            slot => DASHES[((slot - 1) / COLOURS) % DASHES.len()],
        }
    }
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Cross,
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Hexagon,
}
