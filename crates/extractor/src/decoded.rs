//! Documents as the tokenizer gives them back: decode(encode(text)), and where each character of that comes from.
//!
//! A tokenizer may normalise (compose or strip accents, lower case, full-width digits), insert or collapse blanks, and leave out
//! characters that it does not know. What a model can write of a document is the document so decoded, and no other text.
//!
//! Where a tokenizer only normalises or leaves out, the letters of both texts are the same in order, and each leads to its like
//! ([`by_letters`]). Else ([`by_pieces`]) the decoded text is cut into pieces, each of as few tokens as a decoder gives back on
//! their own, and the characters of a piece are placed within the characters that its tokens stand for. Both are linear in the
//! length of the text.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use contract::Error;
use contract::records::DecodedDocument;
use text_tokens::{TextTokenizer, TokenizedText};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters of a piece of the text, at most, that are passed over in search of the next decoded one.
const MAX_SKIPPED: usize = 32;

/// The document as its tokens, all of them, are decoded; none where that is its `text`. Special tokens that are written in the
/// text stay in it.
///
/// # Errors
/// [`Error::Run`] where the tokenizer fails.
pub fn decode(
    doc_id: &str,
    text: &str,
    tokenized: &TokenizedText,
    tokenizer: &TextTokenizer,
) -> Result<Option<DecodedDocument>, Error> {
    let written = tokenizer.special_ids().iter().copied().collect();
    let decoded = tokenizer.decode_keeping(&tokenized.ids, &written)?;
    if decoded == text {
        return Ok(None);
    }
    let origins = by_letters(text, &decoded, std::iter::once).or_else(|| by_letters(text, &decoded, bare));
    let origins = match origins {
        Some(origins) => origins,
        None => by_pieces(text, tokenized, &decoded, tokenizer, written)?,
    };
    Ok(Some(DecodedDocument {
        doc_id: doc_id.to_owned(),
        text: decoded,
        origins,
    }))
}

/// Places of the decoded characters where both texts have the same `letters` in order, blanks aside, once those are left out of the
/// text that the decoded one has nowhere; none where they differ.
fn by_letters<I: Iterator<Item = char>>(
    text: &str,
    decoded: &str,
    letters: impl Fn(char) -> I,
) -> Option<Vec<i32>> {
    let letters = |character: char| letters(character).filter(|letter| !letter.is_whitespace());
    let occurring: HashSet<char> = decoded.chars().flat_map(&letters).collect();
    let written: Vec<char> = text.chars().collect();
    let places = written.iter().enumerate();
    let mut rest = places
        .flat_map(|(place, &character)| letters(character).map(move |letter| (letter, place)))
        .filter(|(letter, _)| occurring.contains(letter));
    let mut known: Vec<Option<usize>> = Vec::with_capacity(decoded.len());
    for character in decoded.chars() {
        let mut first = None;
        for letter in letters(character) {
            let (found, place) = rest.next()?;
            if found != letter {
                return None;
            }
            first.get_or_insert(place);
        }
        known.push(first);
    }
    rest.next()
        .is_none()
        .then(|| fill_gaps(&written, decoded, &known))
}

/// All places, and the length at the end, from the `known` ones of characters with letters: a blank or mark in between comes from the
/// next such character of the text in between. Where there is none, an inserted blank leads to what follows it, and a mark to what
/// bears it.
fn fill_gaps(written: &[char], decoded: &str, known: &[Option<usize>]) -> Vec<i32> {
    let mut following = vec![written.len(); known.len() + 1];
    for index in (0..known.len()).rev() {
        following[index] = known[index].unwrap_or(following[index + 1]);
    }
    let mut origins: Vec<i32> = Vec::with_capacity(known.len() + 1);
    let (mut unused, mut last) = (0, 0);
    for (index, character) in decoded.chars().enumerate() {
        let next = following[index];
        let is_alike = |place: &usize| {
            written[*place].is_whitespace() && character.is_whitespace()
                || is_combining_mark(written[*place]) && is_combining_mark(character)
        };
        let found = known[index].or_else(|| (unused..next).find(is_alike));
        unused = found.map_or(unused, |place| place + 1);
        let inserted = if character.is_whitespace() && next < written.len() {
            next
        } else {
            last
        };
        last = found.unwrap_or(inserted).max(last);
        origins.push(last as i32);
    }
    origins.push(written.len() as i32);
    origins
}

/// Places of the decoded characters, and the length at the end, by the characters of the text that the tokens stand for.
fn by_pieces(
    text: &str,
    tokenized: &TokenizedText,
    decoded: &str,
    tokenizer: &TextTokenizer,
    special_tokens: BTreeSet<i64>,
) -> Result<Vec<i32>, Error> {
    let pieces = Pieces {
        tokenizer,
        special_tokens,
        tokens: &tokenized.ids,
        decoded,
    };
    let mut aligner = PieceAligner::of(text);
    for piece in pieces.cut()? {
        let places = &tokenized.characters[piece.tokens];
        let start = places.iter().map(|characters| characters.start).min();
        let end = places.iter().map(|characters| characters.end).max();
        aligner.place(&decoded[piece.bytes], start.unwrap_or(0)..end.unwrap_or(0));
    }
    Ok(aligner.finish())
}

/// Where a text and its decoded form first differ: some characters of each from there on.
pub(crate) fn first_difference(text: &str, decoded: &str) -> (String, String) {
    const SHOWN: usize = 12;
    let same = text.chars().zip(decoded.chars());
    let same = same.take_while(|(left, right)| left == right).count();
    let [text, decoded] = [text, decoded].map(|text| text.chars().skip(same).take(SHOWN).collect());
    (text, decoded)
}

/// A part of the decoded text, and the tokens that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    tokens: Range<usize>,
    bytes: Range<usize>,
}

/// Tokens and the text that they are decoded to, to be cut into pieces.
struct Pieces<'a> {
    tokenizer: &'a TextTokenizer,
    special_tokens: BTreeSet<i64>,
    tokens: &'a [i64],
    decoded: &'a str,
}

impl Pieces<'_> {
    /// Cuts the text into pieces of as few tokens as possible. What a token is decoded to depends on those before it: a decoder may
    /// strip the blank before the first one, and several tokens may make up one character. So tokens are decoded behind those of
    /// the piece before, and there is a piece where that gives what is in the decoded text. Where it does not, more tokens
    /// are tried, in growing numbers, so that even a decoder that allows no cut at all costs only a few times the decoding. A piece
    /// does not end with U+FFFD: that may be a character whose other bytes are still to come.
    fn cut(&self) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::with_capacity(self.tokens.len());
        let mut before = 0..0;
        let mut reached = 0;
        while before.end < self.tokens.len() {
            let start = before.end;
            let known = self.decode(before.clone())?;
            let mut count = 1;
            let piece = loop {
                let end = self.tokens.len().min(start + count);
                let rest = &self.decoded[reached..];
                if end == self.tokens.len() {
                    break Piece {
                        tokens: start..end,
                        bytes: reached..self.decoded.len(),
                    };
                }
                let longer = self.decode(before.start..end)?;
                let new = longer.strip_prefix(known.as_str());
                let is_whole =
                    |new: &&str| !new.ends_with(char::REPLACEMENT_CHARACTER) && rest.starts_with(*new);
                if let Some(new) = new.filter(is_whole) {
                    break Piece {
                        tokens: start..end,
                        bytes: reached..reached + new.len(),
                    };
                }
                count += 1 + count / 4;
            };
            reached = piece.bytes.end;
            before = piece.tokens.clone();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    fn decode(&self, tokens: Range<usize>) -> Result<String, Error> {
        let tokens = &self.tokens[tokens];
        self.tokenizer.decode_keeping(tokens, &self.special_tokens)
    }
}

/// Places of decoded characters in a text, under way.
struct PieceAligner {
    /// The text's letters without marks, in lower case and compatibility decomposition: each with its character's place.
    letters: Vec<(char, usize)>,
    /// Whether each character of the text is a combining mark.
    is_mark: Vec<bool>,
    /// The letter of the text that is next, and the place that is.
    next: usize,
    last: usize,
    origins: Vec<i32>,
}

impl PieceAligner {
    fn of(text: &str) -> Self {
        let letters = text.chars().enumerate();
        Self {
            letters: letters
                .flat_map(|(place, character)| bare(character).map(move |letter| (letter, place)))
                .collect(),
            is_mark: text.chars().map(is_combining_mark).collect(),
            next: 0,
            last: 0,
            origins: Vec::new(),
        }
    }

    /// Places the characters of `piece`, whose tokens stand for characters `range` of the text. Blanks before those may be its
    /// first one: some tokenizers leave them out of what a token stands for.
    fn place(&mut self, piece: &str, range: Range<usize>) {
        if piece.is_empty() {
            return;
        }
        let end = range.end.min(self.is_mark.len());
        self.pass_over(range.start, piece.starts_with(char::is_whitespace));
        let characters = piece.chars().enumerate();
        let letters: Vec<(char, usize)> = characters
            .clone()
            .flat_map(|(number, character)| bare(character).map(move |letter| (letter, number)))
            .collect();
        let mut rest = letters.as_slice();
        for (number, character) in characters {
            let count = rest.iter().take_while(|&&(_, of)| of == number).count();
            let (own, after) = rest.split_at(count);
            rest = after;
            let place = if own.is_empty() {
                self.mark(character, end)
            } else {
                self.letter(own, after.first().map(|&(letter, _)| letter), end)
            };
            self.last = place.min(end.saturating_sub(1)).max(self.last);
            self.origins.push(self.last as i32);
        }
        self.pass_over(end, false);
    }

    /// Passes over the letters before place `start`, all but the blanks right before it where those are kept.
    fn pass_over(&mut self, start: usize, keep_blanks: bool) {
        let rest = &self.letters[self.next..];
        let passed = &rest[..rest.partition_point(|&(_, place)| place < start)];
        let blanks = passed
            .iter()
            .rev()
            .take_while(|(letter, _)| *letter == ' ')
            .count();
        self.next += passed.len() - if keep_blanks { blanks } else { 0 };
    }

    /// The place of a character with these letters, of which `after` is followed: where the text has the first of them next, or a
    /// few letters on, with what follows there too. Where it is not found, it stands for the next character.
    fn letter(&mut self, own: &[(char, usize)], after: Option<char>, end: usize) -> usize {
        let rest = &self.letters[self.next..];
        let within = rest.iter().take_while(|&&(_, place)| place < end);
        let wanted = own[0].0;
        let following = own.get(1).map(|&(letter, _)| letter).or(after);
        let found = within
            .take(MAX_SKIPPED)
            .enumerate()
            .position(|(skipped, &(letter, _))| {
                let goes_on = || match (following, rest.get(skipped + 1)) {
                    (Some(following), Some(&(next, place))) => place >= end || following == next,
                    _ => true,
                };
                letter == wanted && (skipped == 0 || wanted.is_whitespace() || goes_on())
            });
        let Some(found) = found else {
            return rest.first().map_or(self.last, |&(_, place)| place);
        };
        let place = rest[found].1;
        let same = rest[found..].iter().zip(own);
        let same = same.take_while(|((left, of), (right, _))| left == right && *of < end);
        self.next += found + same.count();
        place
    }

    /// The place of a combining mark or of another character without letters: the mark behind the last character, if there is one.
    fn mark(&self, character: char, end: usize) -> usize {
        let next = self.last + 1;
        let is_next = next < end && self.is_mark[next] && is_combining_mark(character);
        if is_next && !self.origins.is_empty() {
            next
        } else {
            self.last
        }
    }

    /// The places, and at the end the text's length.
    fn finish(mut self) -> Vec<i32> {
        self.origins.push(self.is_mark.len() as i32);
        self.origins
    }
}

/// The letters of a character without its marks, in lower case; all white space is one blank.
fn bare(character: char) -> impl Iterator<Item = char> {
    let parts = character
        .to_lowercase()
        .nfkd()
        .filter(|part| !is_combining_mark(*part));
    let blank = |part: char| if part.is_whitespace() { ' ' } else { part };
    parts.map(blank)
}
