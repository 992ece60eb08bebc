//! The distribution of sentence similarities: what share of generations comes at least this close.

use contract::records::{DocumentKind, Split};

use crate::measure::Against;
use crate::run::{CellData, Corpus};

/// The similarities of the samples at one split, strategy and number of copies (none: all), ascending.
pub fn similarities(
    cell: &CellData,
    corpus: &Corpus,
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
        .filter(|sample| {
            let source = sample
                .doc_id
                .as_ref()
                .and_then(|doc_id| corpus.documents.get(doc_id));
            source.is_none_or(|document| document.kind == DocumentKind::Document)
        })
        .filter_map(|sample| match against {
            Against::Training => sample.verdict.max_similarity,
            Against::Own => sample.verdict.own_similarity,
            Against::HeldOut => sample.verdict.heldout_similarity,
        })
        .filter(|similarity| similarity.is_finite())
        .map(f64::from)
        .collect();
    values.sort_by(f64::total_cmp);
    values
}
