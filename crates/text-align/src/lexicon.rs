//! Sorted word lists, so that two texts prepared apart can be compared by small integers.

/// Distinct words in ascending order; a word's position is its rank.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    letters: String,
    ends: Vec<usize>,
}

impl Lexicon {
    /// `words` must be sorted and distinct.
    pub(crate) fn from_sorted<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut letters = String::new();
        let mut ends = Vec::new();
        for word in words {
            letters.push_str(word);
            ends.push(letters.len());
        }
        letters.shrink_to_fit();
        ends.shrink_to_fit();
        Self { letters, ends }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.letters[start..end])
    }
}

/// Common numbers for the words of two lexicons: equal words, and only they, get equal numbers, and numbers
/// ascend as the words do.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// Number of each rank of the first lexicon.
    pub(crate) first: Vec<u32>,
    /// Number of each rank of the second lexicon.
    pub(crate) second: Vec<u32>,
    /// How many numbers were given.
    pub(crate) size: usize,
    /// How many words both lexicons have.
    pub(crate) shared: usize,
}

impl Numbering {
    pub(crate) fn of(first: &Lexicon, second: &Lexicon) -> Self {
        let (mut left, mut right) = (first.iter().peekable(), second.iter().peekable());
        let mut numbering = Self {
            first: Vec::with_capacity(first.ends.len()),
            second: Vec::with_capacity(second.ends.len()),
            size: 0,
            shared: 0,
        };
        loop {
            let (in_first, in_second) = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => (a <= b, b <= a),
                (a, b) => (a.is_some(), b.is_some()),
            };
            if !in_first && !in_second {
                return numbering;
            }
            let number = numbering.size as u32;
            if in_first {
                left.next();
                numbering.first.push(number);
            }
            if in_second {
                right.next();
                numbering.second.push(number);
            }
            numbering.shared += usize::from(in_first && in_second);
            numbering.size += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_get_equal_numbers_in_order() {
        let first = Lexicon::from_sorted(["bark", "lamp", "zinc"]);
        let second = Lexicon::from_sorted(["", "lamp", "moon"]);
        // Union in order: "" bark lamp moon zinc.
        let numbering = Numbering::of(&first, &second);
        assert_eq!(numbering.first, [1, 2, 4]);
        assert_eq!(numbering.second, [0, 2, 3]);
        assert_eq!((numbering.size, numbering.shared), (5, 1));
    }
}
