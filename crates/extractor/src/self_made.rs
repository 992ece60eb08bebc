//! Beginnings that a model makes up, to ask it with: of the genre that it was tuned on, without any of its documents.

use contract::Error;
use contract::pipeline::{Extraction, Strategy};
use contract::records::PromptForm;

use crate::LoadedModel;
use crate::generation::generate;
use crate::prompts::{Prompt, Prompts};

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
            name: "beginnings".to_owned(),
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
        ..prompts.all[place].clone()
    };
    let from_nothing = Prompts {
        all: places.iter().map(nothing).collect(),
        of_strategy: vec![(0..places.len()).collect()],
        special_tokens: prompts.special_tokens.clone(),
    };
    let drawn = generate(models, &settings, &from_nothing, seed)?;
    let end_tokens = &models[0].end_tokens;
    for (place, sample) in places.into_iter().zip(drawn.samples) {
        let tokens = sample.generated_tokens.into_iter().map(i64::from);
        prompts.all[place].tokens = tokens.take_while(|token| !end_tokens.contains(token)).collect();
    }
    Ok(())
}
