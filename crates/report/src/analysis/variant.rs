//! One way of tuning, over its learning rates.

use super::Series;

/// One way of tuning, at one or several learning rates.
#[derive(Debug)]
pub struct Variant {
    /// How it is called beside the others: "full", "LoRA r16".
    pub label: String,
    /// `full`, `head`, `lora`, …
    pub mode: String,
    /// The series, by ascending learning rate: each at its best checkpoint where that was asked, else at its only one.
    pub series: Vec<Series>,
    /// The end of training of each series, where it was asked beside the best checkpoint.
    pub last: Vec<Option<Series>>,
    /// Which learning rate has the best held-out loss.
    pub chosen: usize,
}

impl Variant {
    /// The variant of these series and ends of training, by ascending learning rate; the rate with the lowest validation loss is
    /// chosen, the first where none is known.
    pub(super) fn of(label: String, mode: &str, rates: Vec<(Series, Option<Series>)>) -> Self {
        let (series, last): (Vec<Series>, Vec<Option<Series>>) = rates.into_iter().unzip();
        Self {
            label,
            mode: mode.to_owned(),
            chosen: best(&series),
            series,
            last,
        }
    }

    /// The series at the learning rate with the best held-out loss, at its best checkpoint.
    pub fn chosen(&self) -> &Series {
        &self.series[self.chosen]
    }

    /// The end of its training, where its best checkpoint was asked too.
    pub fn chosen_last(&self) -> Option<&Series> {
        self.last[self.chosen].as_ref()
    }

    /// Every series, the end of training after the best checkpoint.
    pub fn every_series(&self) -> impl Iterator<Item = &Series> {
        let pairs = self.series.iter().zip(&self.last);
        pairs.flat_map(|(series, last)| std::iter::once(series).chain(last))
    }
}

/// The series with the lowest validation loss; the first where none is known.
fn best(series: &[Series]) -> usize {
    let losses = series
        .iter()
        .map(|series| series.validation_loss().map_or(f64::INFINITY, |loss| loss.value));
    losses
        .enumerate()
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .map_or(0, |(index, _)| index)
}

/// A variant's name: `rank` and `targets` are told only where others of the mode differ in them.
pub(super) fn variant_label(mode: &str, rank: Option<i32>, targets: Option<&str>) -> String {
    let mut label = match mode {
        "head" => "head-only".to_owned(),
        "lora" => "LoRA".to_owned(),
        "tuned" => "audited".to_owned(),
        other => other.to_owned(),
    };
    if let Some(rank) = rank {
        label = format!("{label} r{rank}");
    }
    if let Some(targets) = targets {
        let count = targets.split(',').count();
        label = if count > 1 {
            format!("{label}, {count} modules")
        } else {
            format!("{label}, {targets}")
        };
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_named_by_what_tells_them_apart() {
        assert_eq!(variant_label("lora", None, None), "LoRA");
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn")),
            "LoRA r16, c_attn"
        );
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn,c_fc,c_proj")),
            "LoRA r16, 3 modules"
        );
        assert_eq!(variant_label("head", None, None), "head-only");
    }
}
