//! A generation, and what of it the attacker supplied.

use std::borrow::Cow;
use std::collections::HashSet;

use contract::records::{Sample, Split};
use text_align::Span;
use xxhash_rust::xxh3::Xxh3;

use crate::corpus::normal_form::{NormalForm, compared, folded};
use crate::corpus::sources::Sources;

/// A run of so many characters that the prompt holds too repeats the prompt; shorter runs are shared by chance.
const ECHO_CHARACTERS: usize = 20;

/// A prompt of fewer characters is repeated by chance.
const MIN_PROMPT_CHARACTERS: usize = 8;

/// A generation ready to be compared.
#[derive(Debug)]
pub struct Generation<'run> {
    /// Its row of `samples.parquet`.
    pub sample: &'run Sample,
    /// Its compared form: what all spans count in.
    pub text: Cow<'run, str>,
    /// The compared form of what the prompt's document goes on with.
    pub truth: Option<Cow<'run, str>>,
    /// Place of the prompt's document among the training documents, if it is one.
    pub own_training: Option<usize>,
    /// The same among the held-out documents.
    pub own_held_out: Option<usize>,
    /// What the attacker supplied.
    pub prompt: Prompt,
    /// The folded form of `text`.
    folded: NormalForm,
    /// For each character of the folded form whether it repeats the prompt.
    echoed: Vec<bool>,
}

impl<'run> Generation<'run> {
    /// Reads a sample.
    pub fn new(sample: &'run Sample, sources: &Sources) -> Self {
        let text = compared(&sample.generation);
        let folded = NormalForm::folded(&text);
        let prompt = Prompt::new(&sample.prompt);
        let echoed = prompt.mask(folded.text());
        let own = |split, documents| {
            let doc_id = sample.doc_id.as_deref().filter(|_| sample.split == split)?;
            Sources::index(documents, doc_id)
        };
        Self {
            own_training: own(Split::Train, &sources.training),
            own_held_out: own(Split::Heldout, &sources.held_out),
            truth: sample.truth.as_deref().map(compared),
            sample,
            text,
            prompt,
            folded,
            echoed,
        }
    }

    /// The folded form of the text.
    pub fn folded(&self) -> &NormalForm {
        &self.folded
    }

    /// Whether each character of the folded form repeats the prompt.
    pub fn echoed(&self) -> &[bool] {
        &self.echoed
    }

    /// Characters of the folded form that repeat the prompt.
    pub fn echoed_characters(&self) -> usize {
        self.echoed.iter().filter(|echoed| **echoed).count()
    }

    /// Characters of `span` that the prompt does not hold, in the folded form.
    pub fn new_characters(&self, span: Span) -> usize {
        let image = self.folded.image(span);
        let echoed = self.echoed.get(image.start..image.end).unwrap_or_default();
        echoed.iter().filter(|echoed| !**echoed).count()
    }

    /// Whether nothing of `span` repeats the prompt.
    pub fn is_new(&self, span: Span) -> bool {
        self.new_characters(span) == self.folded.image(span).len()
    }

    /// Whether more than half of `span` repeats the prompt.
    pub fn is_echo(&self, span: Span) -> bool {
        2 * self.new_characters(span) < self.folded.image(span).len()
    }

    /// `span` without what repeats the prompt at either end; as it is where nothing there does.
    pub fn without_echo(&self, span: Span) -> Span {
        let image = self.folded.image(span);
        let echoed = self.echoed.get(image.start..image.end).unwrap_or_default();
        let (starts, ends) = (echoed.first() == Some(&true), echoed.last() == Some(&true));
        if !starts && !ends {
            return span;
        }
        let letters = self.folded.text().chars().skip(image.start).zip(echoed);
        let new: Vec<usize> = letters
            .enumerate()
            .filter(|(_, (letter, echoed))| !**echoed && !letter.is_whitespace())
            .map(|(place, _)| image.start + place)
            .collect();
        let (Some(first), Some(last)) = (new.first(), new.last()) else {
            return Span::new(span.end, span.end);
        };
        let kept = self.folded.origin(Span::new(*first, last + 1));
        Span::new(
            if starts { kept.start } else { span.start },
            if ends { kept.end } else { span.end },
        )
    }

    /// The parts of the folded form that the prompt does not hold.
    pub fn new_parts(&self) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut rest = self.folded.text();
        let mut place = 0;
        while place < self.echoed.len() {
            let is_echo = self.echoed[place];
            let run = self.echoed[place..]
                .iter()
                .take_while(|echoed| **echoed == is_echo)
                .count();
            let bytes = rest.chars().take(run).map(char::len_utf8).sum();
            let (part, after) = rest.split_at(bytes);
            if !is_echo {
                parts.push(part);
            }
            rest = after;
            place += run;
        }
        parts
    }

    /// The characters of the sample's own text that `span` stands for.
    pub fn original(&self, span: Span) -> Span {
        match self.text {
            Cow::Borrowed(_) => span,
            Cow::Owned(_) => NormalForm::compared(&self.sample.generation).origin(span),
        }
    }
}

/// The text of a prompt, ready to be looked for.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// Digests of all of its runs of `width` characters, folded.
    windows: HashSet<u64>,
    width: usize,
}

impl Prompt {
    /// Reads a prompt.
    pub fn new(prompt: &str) -> Self {
        let folded = folded(&compared(prompt));
        // A token may have been cut in the middle of a character.
        let characters: Vec<char> = folded
            .trim()
            .trim_end_matches(char::REPLACEMENT_CHARACTER)
            .chars()
            .collect();
        let width = characters.len().min(ECHO_CHARACTERS);
        if width < MIN_PROMPT_CHARACTERS {
            return Self::default();
        }
        Self {
            windows: characters.windows(width).map(digest).collect(),
            width,
        }
    }

    /// For each character of a `folded` text whether it lies in a run that the prompt holds too.
    pub fn mask(&self, folded: &str) -> Vec<bool> {
        let characters: Vec<char> = folded.chars().collect();
        let mut mask = vec![false; characters.len()];
        if self.width == 0 {
            return mask;
        }
        for (start, window) in characters.windows(self.width).enumerate() {
            if self.windows.contains(&digest(window)) {
                mask[start..start + self.width].fill(true);
            }
        }
        mask
    }

    /// Characters of `text` that the prompt does not hold, folded.
    pub fn new_characters(&self, text: &str) -> usize {
        let mask = self.mask(&folded(text));
        mask.iter().filter(|held| !**held).count()
    }

    /// Whether the prompt holds some run of `text`.
    pub fn holds_any(&self, text: &str) -> bool {
        self.width > 0 && self.mask(&folded(text)).contains(&true)
    }

    /// `span` of `text` without what the prompt holds at either end; as it is where that is all.
    pub fn without(&self, text: &str, span: Span) -> Span {
        let form = NormalForm::folded(span.cut(text).unwrap_or_default());
        let mask = self.mask(form.text());
        let letters: Vec<char> = form.text().chars().collect();
        let is_new = |place: &usize| !mask[*place] && !letters[*place].is_whitespace();
        let first = (0..mask.len()).find(is_new);
        let last = (0..mask.len()).rfind(is_new);
        match (first, last) {
            (Some(first), Some(last)) => {
                let kept = form.origin(Span::new(first, last + 1));
                Span::new(span.start + kept.start, span.start + kept.end)
            }
            _ => span,
        }
    }

    /// Whether the prompt holds more than half of `text`.
    pub fn holds(&self, text: &str) -> bool {
        if self.width == 0 {
            return false;
        }
        let mask = self.mask(&folded(text));
        2 * mask.iter().filter(|held| **held).count() > mask.len()
    }
}

fn digest(window: &[char]) -> u64 {
    let mut digest = Xxh3::new();
    for character in window {
        digest.update(&u32::from(*character).to_le_bytes());
    }
    digest.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(prompt: &str, text: &str) -> String {
        let mask = Prompt::new(prompt).mask(&folded(text));
        let marked = folded(text);
        let marked = marked.chars().zip(mask);
        marked
            .filter(|(_, held)| *held)
            .map(|(character, _)| character)
            .collect()
    }

    #[test]
    fn what_the_prompt_holds_is_marked_in_runs_of_twenty_characters() {
        let prompt = "The nurse asked whether she had changed her washing powder";
        for (text, expected) in [
            // Sixteen characters are shared by chance.
            ("The doctor asked whether she slept", ""),
            ("the NURSE  asked whether he slept", "the nurse asked whether "),
            ("So changed her washing powder or", " changed her washing powder"),
            ("", ""),
        ] {
            assert_eq!(held(prompt, text), expected, "{text:?}");
        }
        // A short prompt counts where all of it is repeated; one of seven characters never does.
        assert_eq!(
            held("Door code?", "Door code? It is the door code."),
            "door code?"
        );
        assert_eq!(held("Mrs. Ray", "Mrs. Ray"), "mrs. ray");
        assert_eq!(held("Mrs. Ra", "Mrs. Ra"), "");
    }

    #[test]
    fn a_text_is_held_where_more_than_half_of_it_is() {
        let prompt = Prompt::new("The nurse asked whether she had changed her washing powder");
        assert!(prompt.holds("The nurse asked whether it rained."));
        assert!(!prompt.holds("The nurse asked whether it was raining outside today."));
        assert!(!Prompt::default().holds(""));
    }
}
