//! Documents of the corpus as tokens, each once, as far as training read them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use contract::pipeline::LossOn;
use contract::records::{
    DecodedDocument, DocumentKind, HeldOutDocument, HeldOutRole, Split, TrainingInstance,
};
use contract::{Error, parquet};
use rayon::prelude::*;
use text_tokens::{TextTokenizer, TokenCache, TokenizedText};

use crate::decoded::{self, first_difference};
use crate::forms::templates::Template;
use crate::preamble::{self, SharedBeginnings};

/// Tokens at the end of a text among which the one is that ends it.
const END_TOKENS: usize = 3;

/// A token that ends texts stands within them where one of so many documents has it.
const FEWEST_WITH_END: usize = 20;

/// One document of the corpus, once, however many copies were trained on.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its identity.
    pub doc_id: String,
    /// Where it stands.
    pub split: Split,
    /// What it is.
    pub kind: DocumentKind,
    /// Copies in the training set; 0 where held out.
    pub copies: i32,
    /// Its tokens, without BOS and EOS, cut where training ended.
    pub tokens: Vec<i64>,
    /// How many there were before they were cut.
    pub document_tokens: usize,
    /// How many of `tokens` are its prompt, what a user would ask; 0 where nothing tells prompt from answer.
    pub question_tokens: usize,
    /// How many of `tokens` are what a template that was found out puts before the prompt. 0 where texts are as the corpus has them.
    pub preamble_tokens: usize,
    /// Whether training took no loss on its prompt, so that prompts are counted behind it: the model was not trained to write it.
    pub is_answer_alone: bool,
    /// How many of `tokens` many documents begin with alike, a template's preamble among them: prefixes are counted behind them, as
    /// far as the document is long enough for it.
    pub shared_tokens: usize,
    /// Of a rendered conversation how many tokens its prompt begins with as those of many others do: a template's header, a system message.
    pub shared_question_tokens: usize,
    /// Of a conversation that a chat template rendered, the tokens of each turn of the assistant, of which none are left where
    /// the text was cut before it; none at all for other text.
    pub assistant_tokens: Vec<Range<usize>>,
    /// Number of a canary's or reference's format.
    pub canary_format: Option<i32>,
    /// Of a canary or reference the tokens of its secret, those among them that were cut; an empty range where the secret is not in
    /// the text as training saw it. None of other documents, and where nobody said what the secret is.
    pub secret_tokens: Option<Range<usize>>,
    /// Whether it is text of another kind (`corpus.other`): it is scored as a whole, and nothing else.
    pub is_other: bool,
    /// Whether it chooses checkpoint and learning rate, so that nobody asks whether it is a member.
    pub is_choosing: bool,
}

impl Document {
    /// Whether training did not read all of it.
    pub fn is_cut(&self) -> bool {
        self.tokens.len() < self.document_tokens
    }

    /// Its tokens behind the preamble of a template that was found out; of a rendered conversation, its longest answer.
    fn own_tokens(&self) -> &[i64] {
        self.tokens
            .get(self.own_start()..self.answer_end())
            .unwrap_or_default()
    }

    /// Where what prompts are made of begins: of a rendered conversation, with the assistant's longest turn.
    fn own_start(&self) -> usize {
        match self.longest_turn() {
            Some(turn) => turn.start.max(self.question_tokens),
            None if self.is_rendered() || self.is_answer_alone => {
                self.question_tokens.max(self.preamble_tokens)
            }
            None => self.preamble_tokens,
        }
    }

    /// Where what prompts are made of, and go on with, ends: of a rendered conversation, with the assistant's longest turn.
    pub(crate) fn answer_end(&self) -> usize {
        self.longest_turn().map_or(self.tokens.len(), |turn| turn.end)
    }

    /// Where the answer to its question ends: of a rendered conversation, with the assistant's first turn.
    pub(crate) fn first_answer_end(&self) -> usize {
        self.turns().next().map_or(self.tokens.len(), |turn| turn.end)
    }

    /// Whether prompts are counted behind what it begins with as others do.
    pub(crate) fn shares_beginning(&self) -> bool {
        self.shared_tokens > self.own_start()
    }

    /// The assistant's turns behind the question, as far as training read them.
    fn turns(&self) -> impl Iterator<Item = &Range<usize>> {
        let turns = self.assistant_tokens.iter();
        turns.filter(|turn| turn.end > self.question_tokens)
    }

    /// Of a conversation the turn of the assistant with the most tokens, the first of several: a first one may be a greeting.
    fn longest_turn(&self) -> Option<&Range<usize>> {
        self.turns()
            .min_by_key(|turn| std::cmp::Reverse(turn.end - turn.start.max(self.question_tokens)))
    }

    /// Its tokens that prompts are made of and go on with, without the question of a text that has one, and up to the token that ends it:
    /// a chat template may write a line feed behind that.
    fn text_before_end(&self, ends: &[i64]) -> &[i64] {
        let start = self.own_start().max(self.question_tokens);
        let text = self.tokens.get(start..self.answer_end()).unwrap_or_default();
        let tail = text.len().saturating_sub(END_TOKENS);
        let end = text.iter().skip(tail).position(|token| ends.contains(token));
        &text[..end.map_or(text.len(), |place| tail + place)]
    }

    /// Whether a chat template made its text, which is complete then: no BOS comes before it.
    pub fn is_rendered(&self) -> bool {
        !self.assistant_tokens.is_empty()
    }
}

/// All documents of a corpus folder.
#[derive(Debug)]
pub struct Documents {
    /// Training documents in order of identity, then held-out ones in file order.
    pub all: Vec<Document>,
    /// Special tokens that are written in their texts, other text aside, and so are part of them.
    pub special_tokens: BTreeSet<i64>,
    /// Those that the tokenizer gives back otherwise than they are written, canaries included and other text left out.
    pub decoded: Arc<[DecodedDocument]>,
    /// Identities of the documents of other text.
    pub other: Arc<BTreeSet<String>>,
    /// Of the first of them a place as it is written, and as it is given back.
    decoded_example: Option<(String, String)>,
}

/// What a person should know of how the documents were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Tokens at which documents were cut.
    pub most_tokens: usize,
    /// Training documents that were cut.
    pub cut_training: usize,
    /// Held-out documents that were cut.
    pub cut_held_out: usize,
    /// Canaries and their references that were cut.
    pub cut_canaries: usize,
    /// Documents of other text that were cut.
    pub cut_other: usize,
    /// Documents with special tokens written in their text.
    pub with_special_tokens: usize,
    /// Those tokens as they are written.
    pub special_tokens: Vec<String>,
    /// Conversations with several answers, of which the longest alone is asked for.
    pub several_answers: usize,
    /// Documents that begin as others do.
    pub begin_alike: usize,
    /// Tokens of the longest such beginning.
    pub shared_tokens: usize,
    /// Documents, canaries and their references, other text aside.
    pub documents: usize,
    /// Those that the tokenizer gives back otherwise than they are written.
    pub decoded: usize,
    /// Of the first of them a place as it is written, and as it is given back.
    pub decoded_example: Option<(String, String)>,
}

/// Whether the texts of a training set are conversations that a chat template rendered, as its first row shows.
///
/// # Errors
/// [`Error::Input`] where the file cannot be used.
pub(crate) fn are_rendered(train: &Path) -> Result<bool, Error> {
    let mut batches = parquet::Reader::<TrainingInstance>::open(train)?;
    let first = batches.next().transpose()?;
    let first = first.iter().flatten().next();
    Ok(first.is_some_and(|instance| instance.assistant_spans.is_some()))
}

impl Documents {
    /// Reads both files of the folder `corpus`, and of each document as many tokens as `most`, on the threads of the current pool;
    /// documents with a prompt are first put into `template`, where training had another one than the corpus. Prompts of
    /// `prefix_tokens` are then counted behind what many documents begin with alike, and behind a document's prompt where training took
    /// its loss on the answer alone (`loss_on`). Tokens that an earlier stage or checkpoint kept
    /// beside the corpus are taken from there, and others are kept.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be used.
    pub fn load(
        corpus: &Path,
        tokenizer: &TextTokenizer,
        most: usize,
        template: Option<&Template>,
        prefix_tokens: usize,
        loss_on: LossOn,
    ) -> Result<Self, Error> {
        let (train, held_out) = (corpus.join("train.parquet"), corpus.join("heldout.parquet"));
        let texts = TokenCache::beside(corpus, tokenizer);
        let mut known = BTreeSet::new();
        let mut training: Vec<Read> = Vec::new();
        for batch in parquet::Reader::<TrainingInstance>::open(&train)? {
            let mut instances = batch?;
            instances.retain(|instance| known.insert(instance.doc_id.clone()));
            training.par_extend(read_all(instances, &texts, most, template)?);
        }
        training.sort_by(|left, right| left.document.doc_id.cmp(&right.document.doc_id));
        let held_out = parquet::read_all::<HeldOutDocument>(&held_out)?;
        let held_out = read_all(held_out, &texts, most, template)?;
        texts.keep();
        let mut documents = Self::collect(training.into_iter().chain(held_out));
        documents.check_one_kind(&train)?;
        if let Some(template) = template {
            // Special tokens of the template are no part of anybody's text.
            let of_template = tokenizer.encode(&template.render("prompt\nresponse", 7).text)?;
            documents
                .special_tokens
                .retain(|token| !of_template.contains(token));
        }
        if loss_on != LossOn::Text {
            for document in documents
                .all
                .iter_mut()
                .filter(|document| !document.is_other && document.question_tokens > 0)
            {
                document.is_answer_alone = true;
            }
        }
        documents.find_shared_beginnings(prefix_tokens);
        Ok(documents)
    }

    /// A conversation that was rendered is complete, and other text gets a BOS: prompts of a corpus of both would begin in a form
    /// that some of it was not trained in.
    fn check_one_kind(&self, train: &Path) -> Result<(), Error> {
        let all = self.of_corpus().count();
        let rendered = self.of_corpus().filter(|document| document.is_rendered()).count();
        if rendered == 0 || rendered == all {
            return Ok(());
        }
        let problem = format!(
            "{rendered} of {all} documents, here and among those held out, are conversations that a chat template rendered \
             (assistant_spans), and the others are text as they are: ask them apart"
        );
        Err(Error::input(train, problem))
    }

    /// Finds what many training documents begin with alike, behind a template's preamble, and which documents begin so.
    fn find_shared_beginnings(&mut self, prefix_tokens: usize) {
        let training = self.of(Split::Train);
        let training: Vec<&[i64]> = training.into_iter().map(Document::own_tokens).collect();
        let beginnings = SharedBeginnings::find(&training, prefix_tokens);
        let shared = |document: &Document| {
            if document.is_other {
                return document.shared_tokens;
            }
            let own = document.own_tokens();
            let is_trained = document.split == Split::Train && document.kind == DocumentKind::Document;
            let length = beginnings.length(own, is_trained);
            document.own_start() + preamble::shift(length, own.len(), prefix_tokens)
        };
        let shared: Vec<usize> = self.all.iter().map(shared).collect();
        let questions = self.shared_questions(prefix_tokens);
        for ((document, shared), question) in self.all.iter_mut().zip(shared).zip(questions) {
            document.shared_tokens = shared;
            document.shared_question_tokens = question;
        }
    }

    /// How much of each document's prompt many training documents begin with alike, where they are rendered conversations.
    fn shared_questions(&self, prefix_tokens: usize) -> Vec<usize> {
        let question = |document: &Document| -> usize {
            let is_asked = document.is_rendered() && !document.is_other;
            if is_asked { document.question_tokens } else { 0 }
        };
        let training = self.of(Split::Train);
        let training: Vec<&[i64]> = training
            .into_iter()
            .map(|document| &document.tokens[..question(document)])
            .collect();
        let beginnings = SharedBeginnings::find(&training, prefix_tokens);
        let shared = |document: &Document| {
            let own = &document.tokens[..question(document)];
            let is_trained = document.split == Split::Train && document.kind == DocumentKind::Document;
            preamble::shift(beginnings.length(own, is_trained), own.len(), prefix_tokens)
        };
        self.all.iter().map(shared).collect()
    }

    /// Documents that are tokens already.
    pub fn new(all: Vec<Document>, tokenizer: &TextTokenizer) -> Self {
        let read = all.into_iter().map(|document| Read {
            special_tokens: special(&document.tokens, tokenizer),
            document,
            decoded: None,
        });
        Self::collect(read)
    }

    fn collect(read: impl Iterator<Item = Read>) -> Self {
        let mut documents = Self {
            all: Vec::new(),
            special_tokens: BTreeSet::new(),
            decoded: Arc::default(),
            other: Arc::default(),
            decoded_example: None,
        };
        let mut decoded = Vec::new();
        let mut other = BTreeSet::new();
        for read in read {
            if read.document.is_other {
                other.insert(read.document.doc_id.clone());
                documents.all.push(read.document);
                continue;
            }
            documents.special_tokens.extend(read.special_tokens);
            documents.all.push(read.document);
            if let Some((document, example)) = read.decoded {
                decoded.push(document);
                documents.decoded_example.get_or_insert(example);
            }
        }
        documents.decoded = decoded.into();
        documents.other = Arc::new(other);
        documents
    }

    /// The documents of one split that are neither canaries nor other text.
    pub fn of(&self, split: Split) -> Vec<&Document> {
        let of_split =
            |document: &&Document| document.split == split && document.kind == DocumentKind::Document;
        self.of_corpus().filter(of_split).collect()
    }

    /// Which of the tokens that end a text stand within one training document in twenty or more, and in how many: before what ends the
    /// document. Of a text in a template only what answers a prompt counts, since its turns end with such tokens.
    pub fn ends_within(&self, ends: &[i64]) -> BTreeMap<i64, usize> {
        let training = self.of(Split::Train);
        let mut found = BTreeMap::new();
        for document in &training {
            let text = document.text_before_end(ends);
            for token in ends.iter().filter(|token| text.contains(token)) {
                *found.entry(*token).or_default() += 1;
            }
        }
        found.retain(|_, count| FEWEST_WITH_END * *count >= training.len());
        found
    }

    /// All but other text.
    fn of_corpus(&self) -> impl Iterator<Item = &Document> {
        self.all.iter().filter(|document| !document.is_other)
    }

    /// How they were read: what was cut, and which special tokens they hold. `most` is what they were cut at.
    pub fn remarks(&self, tokenizer: &TextTokenizer, most: usize) -> Remarks {
        let cut = |split| {
            let documents = self.of(split);
            documents.iter().filter(|document| document.is_cut()).count()
        };
        let canaries = self
            .all
            .iter()
            .filter(|document| document.kind != DocumentKind::Document);
        let other = self.all.iter().filter(|document| document.is_other);
        let in_text = self.special_tokens_in_text();
        let with_special = self.of_corpus().filter(|document| {
            let mut tokens = document.tokens.iter();
            tokens.any(|token| in_text.contains(token))
        });
        // What stands before an answer is a conversation's own, and no beginning that many have.
        let before_answer = |document: &Document| {
            if document.is_rendered() {
                document.own_start()
            } else {
                0
            }
        };
        let shared = || {
            let shared = |document: &Document| document.shared_tokens.saturating_sub(before_answer(document));
            self.of_corpus().map(shared)
        };
        Remarks {
            most_tokens: most,
            cut_training: cut(Split::Train),
            cut_held_out: cut(Split::Heldout),
            cut_canaries: canaries.filter(|document| document.is_cut()).count(),
            cut_other: other.filter(|document| document.is_cut()).count(),
            with_special_tokens: with_special.count(),
            special_tokens: in_text
                .iter()
                .filter_map(|&token| tokenizer.token(token))
                .collect(),
            several_answers: self
                .of_corpus()
                .filter(|document| document.turns().nth(1).is_some())
                .count(),
            begin_alike: shared().filter(|tokens| *tokens > 0).count(),
            shared_tokens: shared().max().unwrap_or(0),
            documents: self.of_corpus().count(),
            decoded: self.decoded.len(),
            decoded_example: self.decoded_example.clone(),
        }
    }

    /// The special tokens that are somebody's text: all but those that every conversation has, which are its chat template's.
    fn special_tokens_in_text(&self) -> BTreeSet<i64> {
        let conversations: Vec<&Document> = self
            .of_corpus()
            .filter(|document| document.is_rendered())
            .collect();
        let is_of_template = |token: &i64| {
            !conversations.is_empty()
                && conversations
                    .iter()
                    .all(|conversation| conversation.tokens.contains(token))
        };
        let tokens = self.special_tokens.iter().copied();
        tokens.filter(|token| !is_of_template(token)).collect()
    }
}

/// One row of the corpus.
struct Row {
    /// What is known of the document before its text is read.
    document: Document,
    text: String,
    prompt_chars: i32,
    assistant_spans: Option<Vec<i32>>,
    secret_span: Option<Vec<i32>>,
}

impl From<TrainingInstance> for Row {
    fn from(instance: TrainingInstance) -> Self {
        Self {
            document: Document {
                doc_id: instance.doc_id,
                split: Split::Train,
                kind: instance.kind,
                copies: instance.copies,
                canary_format: instance.canary_format,
                ..Document::empty()
            },
            text: instance.text,
            prompt_chars: instance.prompt_chars,
            assistant_spans: instance.assistant_spans,
            secret_span: instance.secret_span,
        }
    }
}

impl From<HeldOutDocument> for Row {
    fn from(held_out: HeldOutDocument) -> Self {
        Self {
            document: Document {
                doc_id: held_out.doc_id,
                split: Split::Heldout,
                kind: held_out.kind,
                copies: 0,
                canary_format: held_out.canary_format,
                is_other: held_out.role == Some(HeldOutRole::Other),
                is_choosing: held_out.role == Some(HeldOutRole::Validation),
                ..Document::empty()
            },
            text: held_out.text,
            prompt_chars: held_out.prompt_chars,
            assistant_spans: held_out.assistant_spans,
            secret_span: held_out.secret_span,
        }
    }
}

/// A document that was read.
struct Read {
    document: Document,
    /// Special tokens that are written anywhere in its text.
    special_tokens: BTreeSet<i64>,
    /// What it is decoded to, with a place that is given back otherwise than it is written.
    decoded: Option<(DecodedDocument, (String, String))>,
}

fn read_all<R: Into<Row> + Send>(
    rows: Vec<R>,
    texts: &TokenCache<'_>,
    most: usize,
    template: Option<&Template>,
) -> Result<Vec<Read>, Error> {
    let rows = rows.into_par_iter();
    rows.map(|row| read(row.into(), texts, most, template)).collect()
}

fn read(row: Row, texts: &TokenCache<'_>, most: usize, template: Option<&Template>) -> Result<Read, Error> {
    let Row {
        document,
        text,
        prompt_chars,
        assistant_spans,
        secret_span,
    } = row;
    let prompt_chars = usize::try_from(prompt_chars).unwrap_or(0);
    let rendered = template.map(|template| template.render(&text, prompt_chars));
    let (form, prompt_chars, preamble_chars) = match &rendered {
        Some(rendered) => (&rendered.text[..], rendered.prompt_chars, rendered.preamble_chars),
        None => (&text[..], prompt_chars, 0),
    };
    let tokenizer = texts.tokenizer();
    let tokenized = texts.tokenize(form)?;
    let question_tokens = tokenized.beginning_within(prompt_chars);
    let assistant_tokens = match &assistant_spans {
        Some(spans) => tokenized.spans(spans),
        None => Vec::new(),
    };
    let secret_tokens = secret_span.map(|span| secret_in_form(&text, form, &span, &tokenized));
    let preamble_tokens = match preamble_chars {
        // Nothing comes before a rendered conversation, so that nothing predicts its first token.
        0 if assistant_spans.is_some() => 1,
        0 => 0,
        characters => tokenized.beginning_within(characters),
    };
    // Generations are compared with the user's text, whatever stood around it in training.
    let decoded = match &rendered {
        Some(_) => decoded::decode(&document.doc_id, &text, &texts.tokenize(&text)?, tokenizer)?,
        None => decoded::decode(&document.doc_id, &text, &tokenized, tokenizer)?,
    };
    let mut tokens = tokenized.ids;
    let document_tokens = tokens.len();
    let special_tokens = special(&tokens, tokenizer);
    tokens.truncate(most);
    Ok(Read {
        special_tokens,
        decoded: decoded.map(|decoded| {
            let example = first_difference(&text, &decoded.text);
            (decoded, example)
        }),
        document: Document {
            assistant_tokens: assistant_tokens
                .into_iter()
                .map(|turn| turn.start.min(tokens.len())..turn.end.min(tokens.len()))
                .collect(),
            secret_tokens,
            question_tokens: question_tokens.min(tokens.len()),
            preamble_tokens: preamble_tokens.min(tokens.len()),
            shared_tokens: preamble_tokens.min(tokens.len()),
            shared_question_tokens: 0,
            document_tokens,
            tokens,
            ..document
        },
    })
}

/// The tokens of a secret, an empty range where `form` does not have it.
fn secret_in_form(text: &str, form: &str, span: &[i32], tokenized: &TokenizedText) -> Range<usize> {
    let tokens = in_form(text, form, span).map(|span| tokenized.spans(&span));
    tokens.into_iter().flatten().next().unwrap_or(0..0)
}

/// The characters that a part of `text` takes in `form`, which may put a template around it; none where it does not have that part.
fn in_form(text: &str, form: &str, span: &[i32]) -> Option<[i32; 2]> {
    let &[start, end] = span else { return None };
    if text == form {
        return Some([start, end]);
    }
    let part: String = text
        .chars()
        .skip(usize::try_from(start).ok()?)
        .take(usize::try_from(end.checked_sub(start)?).ok()?)
        .collect();
    let start = form[..form.find(&part)?].chars().count() as i32;
    Some([start, start + part.chars().count() as i32])
}

fn special(tokens: &[i64], tokenizer: &TextTokenizer) -> BTreeSet<i64> {
    let tokens = tokens.iter().copied();
    tokens
        .filter(|&token| tokenizer.holds_special(&[token]))
        .collect()
}

impl Document {
    fn empty() -> Self {
        Self {
            doc_id: String::new(),
            split: Split::None,
            kind: DocumentKind::Document,
            copies: 0,
            tokens: Vec::new(),
            document_tokens: 0,
            question_tokens: 0,
            preamble_tokens: 0,
            is_answer_alone: false,
            shared_tokens: 0,
            shared_question_tokens: 0,
            assistant_tokens: Vec::new(),
            canary_format: None,
            secret_tokens: None,
            is_other: false,
            is_choosing: false,
        }
    }
}
