//! The loss behind the output head, with its gradients, a few rows of logits at a time.

use causal_lm::{Error, LmHead};
use cpu_kernels::{Predictions, cross_entropy};
use model_folder::cost::{DEVICE_LOGITS_BYTES, LOGITS_BYTES};
use tch::{Kind, Tensor};

use crate::Batch;
use crate::device_cross_entropy::cross_entropy_on_device;
use crate::scalar::Scalar;

/// Which gradients are wanted, and of how many times the weighted sum of losses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Factor of the loss.
    pub(crate) scale: f32,
    /// That of the hidden states.
    pub(crate) of_hidden: bool,
    /// That of the head.
    pub(crate) of_head: bool,
}

/// A sum of losses in nats, and the gradients that were asked for.
#[derive(Debug)]
pub(crate) struct HeadLoss {
    /// Of the predictions that are reported.
    pub(crate) sum: Scalar,
    /// `[predictions, width]`, in the precision of the hidden states.
    pub(crate) of_hidden: Option<Tensor>,
    /// `[vocabulary, width]`, in float32.
    pub(crate) of_head: Option<Tensor>,
}

/// Sum of −ln p(target) of hidden states `[predictions, width]` under the LM head.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn head_loss(
    hidden: &Tensor,
    head: &LmHead,
    batch: &Batch,
    wanted: Option<Wanted>,
) -> Result<HeadLoss, Error> {
    let _guard = tch::no_grad_guard();
    let (of_hidden, of_head) = wanted.map_or((false, false), |wanted| (wanted.of_hidden, wanted.of_head));
    let hidden = hidden.f_detach()?;
    let head = head.to_kind(hidden.kind())?;
    let vocabulary = head.vocabulary() as i64;
    if let Some(beyond) = batch
        .targets
        .iter()
        .find(|target| !(0..vocabulary).contains(*target))
    {
        let problem = format!("token {beyond} is not in the model's vocabulary of {vocabulary}");
        return Err(contract::Error::Run(problem).into());
    }
    let rows = hidden.size2()?.0 as usize;
    let row_bytes = head.vocabulary() * hidden.kind().elt_size_in_bytes() * head.held_matrices();
    let at_once = match &batch.on_device {
        None => LOGITS_BYTES / row_bytes.max(1),
        // Their logarithms are there as well, in float32.
        Some(_) => DEVICE_LOGITS_BYTES / (row_bytes + 4 * head.vocabulary()).max(1),
    };
    let at_once = at_once.max(64);
    let (mut sum, mut hidden_parts, mut head_sum) = (Scalar::Host(0.0), Vec::new(), None::<Tensor>);
    for first in (0..rows).step_by(at_once) {
        let end = (first + at_once).min(rows);
        let part = hidden.f_narrow(0, first as i64, (end - first) as i64)?;
        let reversible = head.reversible(&part, of_hidden, of_head)?;
        let mut logits = reversible.logits();
        let scale = wanted.map(|wanted| wanted.scale);
        let part_sum = match &batch.on_device {
            None => {
                let predictions = Predictions {
                    targets: &batch.targets[first..end],
                    weights: &batch.weights[first..end],
                    reported: &batch.reported[first..end],
                };
                Scalar::Host(cross_entropy(&mut logits, predictions, scale)?)
            }
            Some(predictions) => {
                let predictions = predictions.narrow(first, end - first)?;
                cross_entropy_on_device(&mut logits, &predictions, scale)?
            }
        };
        sum = sum.add(part_sum)?;
        if of_hidden || of_head {
            let (hidden_part, head_part) = reversible.gradients(&logits)?;
            hidden_parts.extend(hidden_part);
            if let Some(part) = head_part {
                head_sum = Some(match head_sum.take() {
                    None => part.f_to_kind(Kind::Float)?,
                    Some(mut sum) => sum.f_add_(&part)?,
                });
            }
        }
    }
    let of_hidden = match hidden_parts.len() {
        0 => None,
        1 => hidden_parts.pop(),
        _ => Some(Tensor::f_cat(&hidden_parts, 0)?),
    };
    Ok(HeadLoss {
        sum,
        of_hidden,
        of_head: head_sum,
    })
}
