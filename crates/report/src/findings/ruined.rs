//! Tuning that made the model worse.

use crate::analysis::Setting;
use crate::format::{listing, number};
use crate::rates::Estimate;

/// Says which ways of tuning end at a held-out loss over that of the untuned model, their intervals apart.
///
/// A rate of such a model is a rate of one that nobody would use: it has learned its documents at the cost of the language.
pub fn ruined_sentence(setting: &Setting) -> Option<String> {
    let untuned = setting.base.as_ref()?.held_out_loss()?;
    let worse: Vec<String> = setting
        .shown()
        .filter(|(_, series)| series.mode != "base")
        .filter_map(|(label, series)| {
            let loss = series.held_out_loss()?;
            apart(&loss, &untuned).then(|| format!("{label} {}", number(loss.value, 2)))
        })
        .collect();
    (!worse.is_empty()).then(|| {
        format!(
            "Worse than the untuned model’s {} on text it never saw: {}. Its documents were learned at the cost of \
             everything else; fewer epochs or a lower learning rate would show a model that somebody would use.",
            number(untuned.value, 2),
            listing(&worse)
        )
    })
}

/// Whether the whole interval of a loss lies over that of the other.
fn apart(loss: &Estimate, other: &Estimate) -> bool {
    match (loss.interval, other.interval) {
        (Some(over), Some(under)) => over.low > under.high,
        _ => false,
    }
}
