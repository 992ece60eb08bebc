//! Beginnings that a model makes up, to go on from: of the genre that it was tuned on, without any of its documents.
//!
//! Nobody gave them to it, so they are part of what it generated: a sample has no prompt, and the beginning before what the strategy made
//! of it. A text that ended within its beginning is a sample as it is.

use contract::Error;
use contract::pipeline::{Extraction, Strategy};
use contract::records::{FinishReason, PromptForm};

use crate::LoadedModel;
use crate::generation::generate;
use crate::prompts::{Begun, Prompt, Prompts};

/// A name that no strategy of a pipeline file has, so that beginnings have random numbers of their own.
const NAME: &str = "\u{0}beginnings";

/// Draws the beginning of each prompt of this form from the whole distribution of the model, in place of any that another checkpoint made up:
/// as many tokens as the beginning of a document has, fewer where the text ends before.
pub(crate) fn begin(
    models: &mut [LoadedModel],
    settings: &Extraction,
    prompts: &mut Prompts,
    seed: u64,
) -> Result<(), Error> {
    let places: Vec<usize> = (0..prompts.all.len())
        .filter(|&place| prompts.all[place].form == PromptForm::SelfMade)
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    let settings = Extraction {
        new_tokens: settings.prefix_tokens,
        strategy: vec![Strategy {
            name: NAME.to_owned(),
            prompt: PromptForm::SelfMade,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            samples: 1,
            beams: 0,
            ..Strategy::default()
        }],
        ..settings.clone()
    };
    let nothing = |&place: &usize| Prompt {
        tokens: Vec::new(),
        begun: None,
        ..prompts.all[place].clone()
    };
    let from_nothing = Prompts {
        all: places.iter().map(nothing).collect(),
        of_strategy: vec![(0..places.len()).collect()],
        special_tokens: prompts.special_tokens.clone(),
    };
    let drawn = generate(models, &settings, &from_nothing, seed)?;
    // What begins a text that nothing else stands before, where it does not stand before every prompt anyway.
    let before = models[0].before_nothing();
    for (place, sample) in places.into_iter().zip(drawn.samples) {
        let prompt = &mut prompts.all[place];
        prompt.tokens.clone_from(&before);
        prompt
            .tokens
            .extend(sample.generated_tokens.into_iter().map(i64::from));
        prompt.begun = Some(Begun {
            logprobs: sample.logprobs,
            is_ended: sample.finish == FinishReason::End,
        });
    }
    Ok(())
}
