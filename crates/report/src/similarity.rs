//! The distribution of sentence similarities: what share of generations comes at least this close.

use contract::records::Split;

use crate::measure::Against;
use crate::run::CellData;

/// The similarities of the samples at one split, strategy and number of copies (none: all), ascending. Generations without a
/// sentence have none, and are left out.
pub fn similarities(
    cell: &CellData,
    against: Against,
    split: Split,
    strategy: &str,
    copies: Option<i32>,
) -> Vec<f64> {
    let mut values: Vec<f64> = cell
        .samples
        .iter()
        .filter(|sample| {
            sample.split == split
                && sample.strategy == strategy
                && copies.is_none_or(|copies| copies == sample.copies)
        })
        .filter_map(|sample| match against {
            Against::Training => sample.verdict.max_similarity,
            Against::Comparable => sample.verdict.comparable_similarity,
            Against::Own => sample.verdict.own_similarity,
            Against::HeldOut => sample.verdict.heldout_similarity,
        })
        .filter(|similarity| similarity.is_finite())
        .map(f64::from)
        .collect();
    values.sort_by(f64::total_cmp);
    values
}
