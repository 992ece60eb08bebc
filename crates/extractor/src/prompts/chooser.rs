//! Prompts under way: each is made once, whatever number of strategies ask with it.

use std::collections::BTreeMap;

use contract::Error;
use contract::pipeline::{BadDocuments, PromptSource};
use contract::records::{PromptForm, Split};

use super::forms::{Maker, Material, OfDocuments, maker};
use super::{Prompt, Skipped, spread};
use crate::documents::Document;

pub(super) struct Chooser<'a> {
    material: Material<'a>,
    /// Tokens that the model reads.
    context: usize,
    /// The prompts made so far, by form and document or number; none where the document gives none.
    made: BTreeMap<(PromptForm, Split, String), Option<usize>>,
    all: Vec<Prompt>,
    /// By form and split, counted once.
    skipped: BTreeMap<(PromptForm, Split), Skipped>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(material: Material<'a>, context: usize) -> Self {
        Self {
            material,
            context,
            made: BTreeMap::new(),
            all: Vec::new(),
            skipped: BTreeMap::new(),
        }
    }

    /// All prompts, and what gave none.
    pub(super) fn end(self) -> (Vec<Prompt>, Skipped) {
        let skipped = self.skipped.values();
        let skipped = skipped.fold(Skipped::default(), |sum, skipped| Skipped {
            too_short: sum.too_short + skipped.too_short,
            too_long: sum.too_long + skipped.too_long,
            shortened: sum.shortened + skipped.shortened,
        });
        (self.all, skipped)
    }

    /// The places of the prompts of a form, of at most so many documents of each split.
    pub(super) fn of_form(&mut self, form: PromptForm, most: Option<usize>) -> Result<Vec<usize>, Error> {
        let maker = match maker(form) {
            Maker::Alone(maker) => {
                let prompts = maker.prompts(&self.material)?;
                return Ok(self.without_document(form, prompts));
            }
            Maker::OfDocuments(maker) => maker,
        };
        let mut chosen = Vec::new();
        for (source, split) in [
            (PromptSource::Train, Split::Train),
            (PromptSource::Heldout, Split::Heldout),
        ] {
            if self.material.settings.prompts.contains(&source) {
                chosen.extend(self.of_documents(form, maker, split, most)?);
            }
        }
        Ok(chosen)
    }

    /// Prompts of the documents of one split.
    fn of_documents(
        &mut self,
        form: PromptForm,
        maker: &dyn OfDocuments,
        split: Split,
        most: Option<usize>,
    ) -> Result<Vec<usize>, Error> {
        let settings = self.material.settings;
        let candidates = self.material.documents.of(split);
        let (mut long, mut short): (Vec<&Document>, Vec<&Document>) = (Vec::new(), Vec::new());
        for document in &candidates {
            if maker.is_long_enough(&self.material, document)? {
                long.push(document);
            } else {
                short.push(document);
            }
        }
        if let (BadDocuments::Error, Some(document)) = (settings.short_documents, short.first()) {
            return Err(Error::Configuration(maker.too_short(&self.material, document)));
        }
        if long.is_empty() && !candidates.is_empty() {
            let problem = maker.none_is_long_enough(&self.material, split, &candidates);
            // Beside other ways of asking it leaves theirs.
            if maker.may_be_missing(&self.material) && settings.strategy.len() > 1 {
                if maker.concerns(&candidates) {
                    tracing::warn!("{problem}. They are not asked so");
                }
                return Ok(Vec::new());
            }
            return Err(Error::Configuration(problem));
        }
        let mut skipped = Skipped {
            too_short: short.len(),
            ..Skipped::default()
        };
        let chosen = most.map_or_else(|| long.clone(), |most| spread(&long, most));
        let mut places = Vec::with_capacity(chosen.len());
        for document in chosen {
            let key = (form, split, document.doc_id.clone());
            let place = match self.made.get(&key) {
                Some(&place) => place,
                None => {
                    let place = self.make(form, maker, document)?;
                    self.made.insert(key, place);
                    place
                }
            };
            skipped.too_long += usize::from(place.is_none());
            skipped.shortened += usize::from(maker.is_shortened(&self.material, document)?);
            places.extend(place);
        }
        self.skipped.insert((form, split), skipped);
        Ok(places)
    }

    /// The prompt of a document, unless it leaves no room in the context.
    fn make(
        &mut self,
        form: PromptForm,
        maker: &dyn OfDocuments,
        document: &Document,
    ) -> Result<Option<usize>, Error> {
        let Material {
            documents,
            settings,
            tokenizer,
            ..
        } = self.material;
        let span = maker.span(&self.material, document)?;
        let plain = &document.tokens[span.clone()];
        let tokens = match maker.style() {
            Some(restyle) => {
                // What many documents begin with alike is left as training wrote it.
                let shared = document.shared_tokens.clamp(span.start, span.end) - span.start;
                let (preamble, own) = plain.split_at(shared);
                let own = tokenizer.decode_keeping(own, &documents.special_tokens)?;
                [preamble, &tokenizer.encode(&restyle(&own))?].concat()
            }
            None => plain.to_vec(),
        };
        if 1 + tokens.len() + settings.new_tokens > self.context {
            return Ok(None);
        }
        let rest = &document.tokens[span.end..maker.answer_end(document).max(span.end)];
        let reference = rest[..rest.len().min(settings.new_tokens)].to_vec();
        let prompt = Prompt {
            doc_id: Some(document.doc_id.clone()),
            split: document.split,
            copies: document.copies,
            form,
            number: self.all.len(),
            tokens,
            begun: None,
            reference,
        };
        self.all.push(prompt);
        Ok(Some(self.all.len() - 1))
    }

    /// Prompts that belong to no document, as often as they are asked for.
    fn without_document(&mut self, form: PromptForm, prompts: Vec<Vec<i64>>) -> Vec<usize> {
        let mut places = Vec::with_capacity(prompts.len());
        let mut skipped = Skipped::default();
        for (number, tokens) in prompts.into_iter().enumerate() {
            if 1 + tokens.len() + self.material.settings.new_tokens > self.context {
                skipped.too_long += 1;
                continue;
            }
            let key = (form, Split::None, number.to_string());
            let place = self.made.entry(key).or_insert_with(|| {
                self.all.push(Prompt {
                    doc_id: None,
                    split: Split::None,
                    copies: 0,
                    form,
                    number,
                    tokens,
                    begun: None,
                    reference: Vec::new(),
                });
                Some(self.all.len() - 1)
            });
            places.extend(*place);
        }
        self.skipped.insert((form, Split::None), skipped);
        places
    }
}
