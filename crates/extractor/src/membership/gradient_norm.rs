//! How far a document would still move the weights: the norm of the gradient of its mean loss. What a model has learned pulls no more. (Known
//! for pre-training as "gradient norm"; Wang et al. 2024 combine it with more.) It takes the weights.

use causal_lm::Error as TorchError;
use contract::pipeline::Extraction;
use contract::{Error, Progress};
use tch::{Kind, Tensor};

use super::whole_documents;
use crate::LoadedModel;
use crate::documents::{Document, Documents};
use crate::scoring::{PlacedScores, loss_spans};

pub(super) fn add(
    model: &mut LoadedModel,
    settings: &Extraction,
    documents: &Documents,
    scores: &mut PlacedScores,
) -> Result<(), Error> {
    if model.model.has_virtual_tokens() {
        tracing::warn!(
            "extraction.membership = \"gradient-norm\": gradients are not taken behind virtual tokens, and there is no such score"
        );
        return Ok(());
    }
    let weights = watched(model)?;
    let mut rows = whole_documents(documents, scores);
    let mut progress = Progress::new("gradients", rows.len() as u64, "documents");
    for (document, score) in &mut rows {
        score.gradient_norm = norm(model, settings, document, &weights)?.map(|norm| norm as f32);
        progress.advance(1, "");
    }
    for weight in weights {
        let _ = weight.f_set_requires_grad(false).map_err(TorchError::from)?;
    }
    Ok(())
}

/// The weights of blocks and norms, watched. The tables of words, which hold most of a small model's numbers and change where the document's words
/// stand alone, are left out.
fn watched(model: &mut LoadedModel) -> Result<Vec<Tensor>, Error> {
    let tables = [model.model.embedding_name(), model.model.head_name()];
    let parameters = model.model.parameters_mut().into_iter();
    let watched = parameters
        .filter(|parameter| !tables.contains(&parameter.name))
        .map(|parameter| {
            *parameter.tensor = parameter.tensor.f_detach()?.f_set_requires_grad(true)?;
            Ok(parameter.tensor.shallow_clone())
        });
    Ok(watched.collect::<Result<_, TorchError>>()?)
}

/// The norm of the gradient of a document's mean loss over the tokens that training took loss on, in nats per token and unit of weight; none
/// where nothing is predicted.
fn norm(
    model: &LoadedModel,
    settings: &Extraction,
    document: &Document,
    weights: &[Tensor],
) -> Result<Option<f64>, Error> {
    let tokens = model.add_bos(&document.tokens);
    let before = tokens.len() - document.tokens.len();
    let spans = loss_spans(settings, document);
    // Where nothing stands before a text, nothing predicts its first token here.
    let targets: Vec<i64> = spans
        .into_iter()
        .flatten()
        .map(|place| (before + place) as i64)
        .filter(|&place| place > 0)
        .collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let norm = || -> Result<f64, TorchError> {
        let device = model.model.device();
        let input = Tensor::from_slice(&tokens[..tokens.len() - 1]).to_device(device);
        let hidden = model
            .model
            .packed_forward(&input, &[input.size()[0]], false)?
            .hidden()?;
        let places: Vec<i64> = targets.iter().map(|place| place - 1).collect();
        let hidden = hidden.f_index_select(0, &Tensor::from_slice(&places).to_device(device))?;
        let words: Vec<i64> = targets.iter().map(|&place| tokens[place as usize]).collect();
        let words = Tensor::from_slice(&words).to_device(device);
        let logprobs = model.model.logits(&hidden)?.f_log_softmax(-1, Kind::Float)?;
        let loss = -logprobs
            .f_gather(1, &words.f_unsqueeze(1)?, false)?
            .f_mean(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[loss], &weights.iter().collect::<Vec<_>>(), false, false)?;
        let mut squares = 0.0;
        for gradient in gradients.iter().filter(|gradient| gradient.defined()) {
            squares += gradient
                .f_to_kind(Kind::Float)?
                .f_square()?
                .f_sum(Kind::Double)?
                .f_double_value(&[])?;
        }
        Ok(squares.sqrt())
    };
    Ok(Some(norm()?))
}
