//! The random parts of canaries, no two of them alike: digits, or words of the corpus of a chosen perplexity.

use std::collections::HashSet;

use contract::pipeline::{CANARY_WORDS, Canaries as Settings};
use contract::{Error, PipelineFile};
use corpus_files::{Columns, CorpusFile, RawDocument, documents};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::word_pairs::{NoTexts, WordPairs, WordTexts};

/// Documents of the corpus whose words are counted, at most: the first ones.
const MOST_DOCUMENTS: usize = 2000;

/// Bytes of their text that are counted, at most: documents may be whole books.
const MOST_BYTES: usize = 16 << 20;

/// Draws secrets, each once. They depend on the seed, the settings and, where they are words, the corpus.
#[derive(Debug)]
pub(crate) struct Secrets {
    kind: Kind,
    generator: ChaCha8Rng,
    drawn: HashSet<String>,
}

#[derive(Debug)]
enum Kind {
    /// So many decimal digits.
    Digits(usize),
    Words(WordTexts),
}

impl Secrets {
    /// Those of the pipeline's canaries, for the training files of its corpus.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the words of the corpus make no text of the perplexity that is asked for.
    pub(crate) fn new(
        pipeline: &PipelineFile,
        files: &[CorpusFile],
        columns: &Columns,
        seed: u64,
    ) -> Result<Self, Error> {
        let settings = &pipeline.canaries;
        // A stream of its own, for the first one of the same seed shuffles the instances.
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(1);
        let kind = if settings.secret() == CANARY_WORDS && settings.are_planted() {
            let pairs = word_pairs(files, columns);
            let texts = pairs.texts(settings.words.number, settings.words.perplexity, &mut generator);
            Kind::Words(texts.map_err(|problem| no_texts(pipeline, problem))?)
        } else {
            Kind::Digits(settings.digits)
        };
        Ok(Self {
            kind,
            generator,
            drawn: HashSet::new(),
        })
    }

    /// The next one. Of digits there must be one left.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the words make no further text of that perplexity.
    pub(crate) fn draw(&mut self, pipeline: &PipelineFile) -> Result<String, Error> {
        loop {
            let secret = match &self.kind {
                Kind::Digits(number) => (0..*number)
                    .map(|_| char::from(b'0' + self.generator.random_range(0..10u8)))
                    .collect(),
                Kind::Words(texts) => texts.draw(&mut self.generator).ok_or_else(|| {
                    let problem = format!(
                        "perplexity: hardly any {} words of the corpus have one of {}. Choose another",
                        pipeline.canaries.words.number, pipeline.canaries.words.perplexity
                    );
                    wrong(pipeline, &problem)
                })?,
            };
            if self.drawn.insert(secret.clone()) {
                return Ok(secret);
            }
        }
    }
}

/// The words of the first documents. What stands in the way of others is said where all are read.
fn word_pairs(files: &[CorpusFile], columns: &Columns) -> WordPairs {
    let first = files
        .iter()
        .filter_map(|file| documents(file, columns).ok())
        .flat_map(|documents| documents.filter_map(Result::ok))
        .take(MOST_DOCUMENTS);
    let (mut texts, mut left) = (Vec::new(), MOST_BYTES);
    for document in first {
        let mut text = own_text(&document);
        text.truncate(text.floor_char_boundary(left));
        left -= text.len();
        texts.push(text);
        if left == 0 {
            break;
        }
    }
    WordPairs::of(texts.iter().map(String::as_str))
}

/// What somebody wrote: of a conversation that a chat template rendered, what the assistant says.
fn own_text(document: &RawDocument) -> String {
    match &document.assistant_spans {
        None => document.text.clone(),
        Some(spans) => {
            let turns = spans.iter().map(|&(start, end)| {
                let characters = document.text.chars().skip(start).take(end - start);
                characters.collect::<String>()
            });
            turns.collect::<Vec<String>>().join("\n")
        }
    }
}

fn no_texts(pipeline: &PipelineFile, problem: NoTexts) -> Error {
    let Settings { words, .. } = &pipeline.canaries;
    let problem = match problem {
        NoTexts::FewWords(found) => format!(
            "number: the first documents of the corpus have {found} different words, too few to draw texts from. Put {{digits}} in place of \
             {{words}} into canaries.template"
        ),
        NoTexts::OutOfReach(lowest, highest) => format!(
            "perplexity: expected one that {} words of this corpus can have, about {lowest:.0} to {highest:.0}, found {}",
            words.number, words.perplexity
        ),
    };
    wrong(pipeline, &problem)
}

fn wrong(pipeline: &PipelineFile, problem: &str) -> Error {
    Error::Configuration(format!("{}: canaries.words.{problem}", pipeline.path.display()))
}
