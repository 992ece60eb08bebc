//! One and the same prompt, asked again and again: nothing, or what the chat template writes where the user says nothing.

use contract::Error;

use super::{Alone, Material};

pub(super) struct Nothing;

impl Alone for Nothing {
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error> {
        Ok(vec![Vec::new(); material.settings.unprompted])
    }
}

pub(super) struct Template;

impl Alone for Template {
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error> {
        let opening = material.template_opening.ok_or_else(|| {
            Error::Configuration(
                "extraction.strategy: prompt = \"template-only\" is what the chat template writes where the user says nothing, and this corpus \
                 was not rendered by one (corpus.parquet has no row `template_opening`)"
                    .to_owned(),
            )
        })?;
        let opening = material.tokenizer.encode(opening)?;
        Ok(vec![opening; material.settings.unprompted.max(1)])
    }
}
