//! From values to places on a panel.

/// A straight axis between two values and two places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The lowest value.
    pub(super) low: f64,
    /// The highest value.
    pub(super) high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// The axis on which `low` lies at `from` and `high` at `to`; equal values get some room.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - 0.5, low + 0.5)
        };
        Self { low, high, from, to }
    }

    /// Like [`Scale::new`], widened to round values.
    pub(super) fn round((low, high): (f64, f64), places: (f64, f64)) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - 0.5, low + 0.5)
        };
        let step = step(low, high, 5);
        Self::new(((low / step).floor() * step, (high / step).ceil() * step), places)
    }

    /// Where a value lies; values outside lie at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }
}

/// Round values between two, about so many.
pub(super) fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let step = step(low, high, about);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

/// 1, 2 or 5 times a power of ten.
fn step(low: f64, high: f64, about: usize) -> f64 {
    let rough = (high - low) / about as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let leading = rough / power;
    power
        * if leading <= 1.0 {
            1.0
        } else if leading <= 2.0 {
            2.0
        } else if leading <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// Places moved apart until neighbours are `gap` from each other, staying between the bounds if there is room.
pub(super) fn spread(places: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&left, &right| places[left].total_cmp(&places[right]));
    let mut moved = places.to_vec();
    let mut least = top;
    for &index in &order {
        moved[index] = moved[index].max(least);
        least = moved[index] + gap;
    }
    let mut most = bottom;
    for &index in order.iter().rev() {
        moved[index] = moved[index].min(most);
        most = moved[index] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks(0.0, 1.0, 5),
            [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]
        );
        assert_eq!(ticks(3.9, 5.2, 5), [4.0, 4.5, 5.0]);
    }

    #[test]
    fn labels_move_apart_and_stay_inside() {
        assert_eq!(
            spread(&[10.0, 12.0, 50.0], 13.0, (0.0, 100.0)),
            [10.0, 23.0, 50.0]
        );
        assert_eq!(spread(&[99.0, 99.0], 13.0, (0.0, 100.0)), [87.0, 100.0]);
    }

    #[test]
    fn a_single_value_lies_in_the_middle() {
        assert_eq!(Scale::new((3.0, 3.0), (0.0, 100.0)).place(3.0), 50.0);
        assert_eq!(Scale::new((0.0, 10.0), (100.0, 0.0)).place(2.5), 75.0);
    }
}
