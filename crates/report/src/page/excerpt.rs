//! Two texts side by side: what a generation and a document share, word by word.
//!
//! A detector aligns a passage of the generation with one of the document. Inside an aligned passage the words that are the same
//! in the same order, the longest common subsequence of words, are [`Mark::Same`]; the rest is [`Mark::Aligned`]. Marks of
//! words begin and end at words. Ranges count characters.

use std::collections::HashMap;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::estimate::passages::AlignedPassage;

/// What a piece of a text has to do with the other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Nothing.
    None,
    /// It lies in an aligned passage, and is not the same.
    Aligned,
    /// The same words in the same order.
    Same,
}

/// A text in pieces, with what was left out around it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// The pieces in order; neighbours differ in their mark.
    pub pieces: Vec<(String, Mark)>,
    /// Characters left out before the first piece.
    pub cut_before: usize,
    /// Characters left out after the last.
    pub cut_after: usize,
}

/// A text with the mark of each of its characters.
#[derive(Debug, Clone)]
pub struct MarkedText {
    characters: Vec<char>,
    marks: Vec<Mark>,
}

/// Marks what a generation and a document share. `prompt` is what the generation went on from: a word that begins there is none of
/// the generation's own. What a passage has outside its text is left out.
pub fn marked(
    prompt: &str,
    generation: &str,
    document: &str,
    passages: &[AlignedPassage],
) -> (MarkedText, MarkedText) {
    let mut left = MarkedText::unmarked(generation);
    let mut right = MarkedText::unmarked(document);
    let goes_on = prompt.chars().next_back().is_some_and(char::is_alphanumeric);
    let left_words = words(generation, goes_on);
    let right_words = words(document, false);
    for passage in passages {
        left.raise(passage.generation.clone(), Mark::Aligned);
        right.raise(passage.document.clone(), Mark::Aligned);
        let inside = |words: &[Word], range: &Range<usize>| -> Vec<Word> {
            let whole = words
                .iter()
                .filter(|word| range.start <= word.range.start && word.range.end <= range.end);
            whole.cloned().collect()
        };
        let left_inside = inside(&left_words, &passage.generation);
        let right_inside = inside(&right_words, &passage.document);
        let pairs = common_subsequence(&left_inside, &right_inside);
        for (index, &(of_left, of_right)) in pairs.iter().enumerate() {
            let next = pairs.get(index + 1);
            let is_joined = next == Some(&(of_left + 1, of_right + 1));
            let end = |words: &[Word], word: usize| {
                if is_joined {
                    words[word + 1].range.start
                } else {
                    words[word].range.end
                }
            };
            left.raise(
                left_inside[of_left].range.start..end(&left_inside, of_left),
                Mark::Same,
            );
            right.raise(
                right_inside[of_right].range.start..end(&right_inside, of_right),
                Mark::Same,
            );
        }
    }
    (left, right)
}

impl MarkedText {
    /// A text in which nothing is marked.
    pub fn unmarked(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        Self {
            marks: vec![Mark::None; characters.len()],
            characters,
        }
    }

    fn raise(&mut self, range: Range<usize>, mark: Mark) {
        let end = range.end.min(self.marks.len());
        for found in self
            .marks
            .get_mut(range.start.min(end)..end)
            .into_iter()
            .flatten()
        {
            *found = (*found).max(mark);
        }
    }

    /// Characters of the text.
    pub fn chars(&self) -> usize {
        self.characters.len()
    }

    /// The text from `context` characters before `focus` to as many after it, cut between words, at most `limit` characters from
    /// where it begins.
    pub fn around(&self, focus: Range<usize>, context: usize, limit: usize) -> Excerpt {
        let length = self.characters.len();
        let start = self.forward_to_word(focus.start.min(length).saturating_sub(context), focus.start);
        let wanted = focus.end.saturating_add(context).min(length);
        let end = self.back_to_space(wanted.min(start.saturating_add(limit)), start);
        let mut pieces: Vec<(String, Mark)> = Vec::new();
        for (character, mark) in self.characters[start..end].iter().zip(&self.marks[start..end]) {
            match pieces.last_mut() {
                Some((piece, same)) if same == mark => piece.push(*character),
                _ => pieces.push((character.to_string(), *mark)),
            }
        }
        Excerpt {
            pieces,
            cut_before: start,
            cut_after: length - end,
        }
    }

    /// The whole text, or its first `limit` characters.
    pub fn beginning(&self, limit: usize) -> Excerpt {
        self.around(0..self.characters.len(), 0, limit)
    }

    fn is_space(&self, place: usize) -> bool {
        self.characters
            .get(place)
            .is_none_or(|character| character.is_whitespace())
    }

    /// The first place from `place` on at which a word begins, but not after `latest`.
    fn forward_to_word(&self, place: usize, latest: usize) -> usize {
        let latest = latest.min(self.characters.len());
        let found =
            (place..latest).find(|&place| place == 0 || (self.is_space(place - 1) && !self.is_space(place)));
        found.unwrap_or(place.min(latest))
    }

    /// The last place up to `place` behind which no word goes on, but none that would leave half of the text out.
    fn back_to_space(&self, place: usize, start: usize) -> usize {
        let earliest = start + (place - start) / 2;
        (earliest..=place)
            .rev()
            .find(|&place| self.is_space(place))
            .unwrap_or(place)
    }
}

/// A word: how it is compared, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    folded: String,
    range: Range<usize>,
}

/// The words of a text by the rules of Unicode (UAX 29), compared up to case. With `skips_first`, without one that begins with the
/// text.
fn words(text: &str, skips_first: bool) -> Vec<Word> {
    let mut words = Vec::new();
    let mut characters = 0;
    for segment in text.split_word_bounds() {
        let length = segment.chars().count();
        let is_word = segment.chars().any(char::is_alphanumeric);
        if is_word && !(skips_first && characters == 0) {
            words.push(Word {
                folded: segment.to_lowercase(),
                range: characters..characters + length,
            });
        }
        characters += length;
    }
    words
}

/// A pair of a longest common subsequence, linked to the one before.
struct Link {
    pair: (usize, usize),
    before: Option<usize>,
}

/// The pairs of a longest common subsequence of two lists of words, ascending (Hunt and Szymanski 1977).
fn common_subsequence(left: &[Word], right: &[Word]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, word) in right.iter().enumerate() {
        places.entry(&word.folded).or_default().push(place);
    }
    // For each length of a common subsequence, its least last place on the right, and the pair that ends it.
    let mut least: Vec<(usize, usize)> = Vec::new();
    let mut links: Vec<Link> = Vec::new();
    for (of_left, word) in left.iter().enumerate() {
        for &of_right in places.get(word.folded.as_str()).into_iter().flatten().rev() {
            let length = least.partition_point(|(place, _)| *place < of_right);
            if least.get(length).is_some_and(|(place, _)| *place == of_right) {
                continue;
            }
            links.push(Link {
                pair: (of_left, of_right),
                before: length.checked_sub(1).map(|shorter| least[shorter].1),
            });
            let entry = (of_right, links.len() - 1);
            match least.get_mut(length) {
                Some(found) => *found = entry,
                None => least.push(entry),
            }
        }
    }
    let mut pairs = Vec::with_capacity(least.len());
    let mut last = least.last().map(|(_, link)| *link);
    while let Some(link) = last {
        pairs.push(links[link].pair);
        last = links[link].before;
    }
    pairs.reverse();
    pairs
}

/// The shape of a text without its content: white space and ASCII punctuation stay, every other character becomes a block. The
/// number of characters stays the same.
pub fn redacted(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_whitespace() || character.is_ascii_punctuation() {
                character
            } else {
                '█'
            }
        })
        .collect()
}

impl Excerpt {
    /// The same excerpt with the shape of its text alone.
    pub fn redacted(&self) -> Self {
        Self {
            pieces: self
                .pieces
                .iter()
                .map(|(piece, mark)| (redacted(piece), *mark))
                .collect(),
            ..self.clone()
        }
    }
}
