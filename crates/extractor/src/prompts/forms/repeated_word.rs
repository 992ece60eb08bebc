//! One word again and again: a model that leaves off may go on with what it was trained on (divergence, Nasr et al. 2023).

use contract::Error;
use contract::prompt_form::REPEATED_WORDS;

use super::{Alone, Material};

pub(super) struct RepeatedWord;

impl Alone for RepeatedWord {
    /// A prompt of each word, as often as it fits into as many tokens as the beginning of a document has.
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error> {
        let prompt = |word: &&str| {
            // Enough of them in any tokenizer, of which as many stay as are asked for.
            let text = vec![*word; material.settings.prefix_tokens].join(" ");
            let mut tokens = material.tokenizer.encode(&text)?;
            tokens.truncate(material.settings.prefix_tokens);
            Ok(tokens)
        };
        REPEATED_WORDS.iter().map(prompt).collect()
    }
}
