//! What an indexed text is made of.

use bytemuck::Pod;
use libsais::{LibsaisError, SuffixArrayConstruction};

/// A byte of UTF-8, or the number of a token.
pub(crate) trait Symbol: Pod + Ord + Send + Sync {
    /// What the positions of an index with these symbols count, as its header says it.
    const UNITS: &'static str;

    /// Follows every document; no query holds it, so no match crosses it.
    const SEPARATOR: Self;

    /// The positions of `text` in the order of the suffixes that begin there. `text` is left as it
    /// was.
    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError>;

    /// Whether a character (or token) begins with this symbol.
    fn begins_unit(self) -> bool;

    /// The first symbols of `suffix` as one number, `filler` in place of those that are missing.
    /// Where two such numbers differ, the suffixes are in the same order; where they agree, nothing
    /// is said.
    fn key(suffix: &[Self], filler: Filler) -> u128;
}

/// What represents the symbols beyond the end.
#[derive(Clone, Copy)]
pub(crate) enum Filler {
    /// Nothing is smaller.
    Lowest,
    /// Nothing is larger.
    Highest,
}

impl Symbol for u8 {
    const UNITS: &'static str = "characters";

    /// No UTF-8 text holds this byte.
    const SEPARATOR: Self = 0xFF;

    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError> {
        let construction = SuffixArrayConstruction::for_text(text)
            .in_owned_buffer32()
            .single_threaded();
        Ok(construction.run()?.into_vec())
    }

    /// All but the continuation bytes, `10xxxxxx`.
    fn begins_unit(self) -> bool {
        self & 0b1100_0000 != 0b1000_0000
    }

    fn key(suffix: &[Self], filler: Filler) -> u128 {
        let mut bytes = match filler {
            Filler::Lowest => [0; 16],
            Filler::Highest => [0xFF; 16],
        };
        let length = suffix.len().min(bytes.len());
        bytes[..length].copy_from_slice(&suffix[..length]);
        u128::from_be_bytes(bytes)
    }
}

/// Tokens of the corpus are numbered from 1; −1 represents every token that the corpus does not
/// hold.
impl Symbol for i32 {
    const UNITS: &'static str = "tokens";

    const SEPARATOR: Self = 0;

    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError> {
        let construction = SuffixArrayConstruction::for_text_mut(text)
            .in_owned_buffer32()
            .single_threaded();
        Ok(construction.run()?.into_vec())
    }

    fn begins_unit(self) -> bool {
        true
    }

    fn key(suffix: &[Self], filler: Filler) -> u128 {
        let filler = match filler {
            Filler::Lowest => 0,
            Filler::Highest => u32::MAX,
        };
        // Adding 1 makes the unknown token 0 and keeps the order.
        let part = |place: usize| {
            suffix
                .get(place)
                .map_or(filler, |&token| (token as u32).wrapping_add(1))
        };
        (0..4).fold(0, |key, place| key << 32 | u128::from(part(place)))
    }
}
