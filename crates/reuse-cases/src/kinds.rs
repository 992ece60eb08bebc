//! How a planted passage is disguised, and how strongly.

/// What is done to a passage before it is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing: the passage is copied letter for letter.
    Copy,
    /// Words change places within windows of 3 words, of 6, or within the whole sentence.
    WordShuffle,
    /// Words give way to others of like meaning: 30, 60 or 100% of those that the table knows.
    Synonyms,
    /// Function words are exchanged, left out and put in: 30, 60 or 100% of them.
    FunctionWords,
    /// Sentences are split at clauses and joined with their neighbours, at 35, 70 or 100% of the places.
    SplitAndFusion,
    /// Sentences change places: two neighbours, all of them, or all and the clauses within them as well.
    Reorder,
    /// Only a run of 80, 50 or 30% of the words is planted.
    Truncation,
    /// Letters change case and punctuation marks change or vanish: at 10 or 40%, or all of them.
    CaseAndPunctuation,
    /// The passage is summed up in 60, 40 or 25% of its words.
    Condensation,
    /// Synonyms, function words, sentence splits and clause order together, the nearest to what a person does.
    Rewording,
}

impl Kind {
    /// All kinds, from none to most.
    pub const ALL: [Self; 10] = [
        Self::Copy,
        Self::CaseAndPunctuation,
        Self::Truncation,
        Self::SplitAndFusion,
        Self::Reorder,
        Self::FunctionWords,
        Self::Synonyms,
        Self::WordShuffle,
        Self::Rewording,
        Self::Condensation,
    ];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::WordShuffle => "word shuffle",
            Self::Synonyms => "synonyms",
            Self::FunctionWords => "function words",
            Self::SplitAndFusion => "split and fusion",
            Self::Reorder => "reorder",
            Self::Truncation => "truncation",
            Self::CaseAndPunctuation => "case and punctuation",
            Self::Condensation => "condensation",
            Self::Rewording => "rewording",
        }
    }

    /// Whether the passage stays as it is at every strength, so that strengths need not be distinguished.
    pub const fn has_strengths(self) -> bool {
        !matches!(self, Self::Copy)
    }

    /// Minimum and maximum number of sentences of a passage for this kind.
    pub(crate) const fn sentences(self) -> (usize, usize) {
        match self {
            Self::Reorder => (3, 6),
            Self::Condensation => (4, 10),
            _ => (1, 5),
        }
    }
}

/// How strongly a passage is disguised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Here and there.
    Light,
    /// About every other place.
    Medium,
    /// Wherever it can be done.
    Heavy,
}

impl Strength {
    /// All strengths.
    pub const ALL: [Self; 3] = [Self::Light, Self::Medium, Self::Heavy];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
        }
    }

    /// One of three values.
    pub(crate) const fn of<T: Copy>(self, light: T, medium: T, heavy: T) -> T {
        match self {
            Self::Light => light,
            Self::Medium => medium,
            Self::Heavy => heavy,
        }
    }
}
