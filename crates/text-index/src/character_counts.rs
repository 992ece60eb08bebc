//! From byte offsets to character offsets, without counting from the beginning each time.

/// Bytes between two recorded counts.
const STRIDE: usize = 256;

/// How many characters stand before every [`STRIDE`]-th byte of a UTF-8 text.
pub(crate) struct CharacterCounts {
    before_stride: Vec<usize>,
}

impl CharacterCounts {
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut total = 0;
        let before_stride = text
            .chunks(STRIDE)
            .map(|chunk| {
                let before = total;
                total += characters(chunk);
                before
            })
            .collect();
        Self { before_stride }
    }

    /// Characters that begin before the byte `offset` of `text`, the same text as in [`Self::of`].
    pub(crate) fn before(&self, text: &[u8], offset: usize) -> usize {
        // One past the last chunk there is no count; the chunk before it then is counted whole.
        let chunk = (offset / STRIDE).min(self.before_stride.len().saturating_sub(1));
        let recorded = self.before_stride.get(chunk).copied().unwrap_or(0);
        recorded + characters(&text[chunk * STRIDE..offset])
    }
}

/// A character begins at every byte that is no continuation byte (`10xxxxxx`).
fn characters(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_agrees_with_counting_from_the_beginning() {
        for text in [
            "",
            "a",
            "aé😀",
            &"é".repeat(128),
            &"x".repeat(256),
            &"naïve 😀 e\u{301} ".repeat(100),
        ] {
            let counts = CharacterCounts::of(text.as_bytes());
            let ends = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
            for (expected, offset) in ends.enumerate() {
                assert_eq!(
                    counts.before(text.as_bytes(), offset),
                    expected,
                    "{text:?} at {offset}"
                );
            }
        }
    }
}
