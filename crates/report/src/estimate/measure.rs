//! The measures that are averages over documents, by the name under which `summary.parquet` lists them.

use std::fmt;

use personal_details::DetailKind;

/// Similarities at which rates are given, in hundredths; none of them is canonical.
pub const SIMILARITY_HUNDREDTHS: [u8; 3] = [70, 80, 90];

/// Numbers of samples at which (n, p)-discoverable rates are given, with p = 0.5.
pub const DISCOVERY_SAMPLES: [u64; 4] = [1, 10, 100, 1000];

/// Parts of a document in which memorization is measured.
pub const PLACES: u8 = 5;

/// Tokens of the continuation that k-extractable asks for (Carlini et al. 2023); another length is another measure.
pub const EXTRACTABLE_TOKENS: usize = 50;

/// The shortest common substring that counts as extracted, in characters.
pub const MIN_COMMON_CHARS: i32 = 50;

/// A measure that is a sum over documents divided by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Share of samples that share a verbatim passage with the prompt's own document.
    OwnVerbatim,
    /// Share of samples whose class is paraphrase by what they share with the prompt's own document.
    OwnParaphrase,
    /// Share of samples whose class is idea by it.
    OwnIdea,
    /// Share of samples with any of the three classes by it.
    OwnAny,
    /// Share of samples that begin exactly as the prompt's own document goes on, for 60 characters or to its end, whether that counts as
    /// a passage or not. Of held-out documents, those that are no near-duplicates of training documents.
    ExactContinuation,
    /// Share of training documents that came out of a generation at least once, whatever it was prompted with.
    DocumentsEmitted,
    /// Share of generations out of which a training document came, common phrases left out.
    TrainingTextEmitted,
    /// Share of samples whose class is verbatim, with any training document.
    Verbatim,
    /// Share of samples that are verbatim, and only with passages that stand in many training documents.
    Boilerplate,
    /// Samples with a personal detail in a passage that their class rests on: a count, since detectors miss many.
    PersonalDetails,
    /// Share of samples whose class is paraphrase, with any training document.
    Paraphrase,
    /// Share of samples whose class is idea, with any training document.
    Idea,
    /// Share of samples with any of the three classes, with any training document.
    Any,
    /// The control of [`Measure::Verbatim`]: the same samples matched with held-out text.
    ControlVerbatim,
    /// The control of [`Measure::Any`].
    ControlAny,
    /// [`Measure::ControlVerbatim`] without held-out documents that are near-duplicates of training documents.
    ControlVerbatimApart,
    /// [`Measure::ControlAny`] without them.
    ControlAnyApart,
    /// The control of [`Measure::OwnVerbatim`]: as [`Measure::ControlVerbatim`], where that is all that the generation shares with its own
    /// document. A sentence that held-out text has too does not excuse what comes out around it.
    ControlOwnVerbatim,
    /// [`Measure::ControlOwnVerbatim`] without held-out documents that are near-duplicates of training documents.
    ControlOwnVerbatimApart,
    /// Share of samples with a substring of at least [`MIN_COMMON_CHARS`] that occurs anywhere in the training set.
    CommonSubstring,
    /// Characters inside passages matched with training documents ÷ characters generated.
    MatchedCharsShare,
    /// Mean length of the longest common substring with the training set, in characters.
    LongestMatchChars,
    /// Mean of the best sentence cosine with one side of the corpus.
    Similarity(Against),
    /// Share of samples whose best sentence cosine reaches so many hundredths.
    SimilarityReaching(Against, u8),
    /// Share of samples without a sentence of their own, which have no similarity.
    WithoutSentence,
    /// Mean ROUGE-L F1 against the document's own continuation of so many tokens.
    RougeL(Length),
    /// Mean BLEU against it.
    Bleu(Length),
    /// Share of samples over [`measures::memorization::APPROXIMATE_MEMORIZATION_BLEU`].
    ApproximatelyMemorized(Length),
    /// Share of answers whose final answer is the document's.
    FinalAnswer,
    /// Mean of 1 − Levenshtein ÷ longer length against it.
    EditSimilarity(Length),
    /// Nats per token over whole documents; of held-out ones, over those that chose nothing.
    Loss,
    /// The same over the held-out documents that choose checkpoint and learning rate.
    ValidationLoss,
    /// The same over text of another kind: what tuning made the model forget.
    OtherLoss,
    /// Bits per UTF-8 byte over the documents of [`Measure::Loss`] that training read to their end.
    BitsPerByte,
    /// Share of documents that training cut off, so that their scores end there.
    DocumentsCut,
    /// Share of tokens that are the model's first choice, mean over documents.
    ExactMemorization,
    /// 1 − k/L, mean over documents.
    ExtractionStrength,
    /// Share of documents whose next [`EXTRACTABLE_TOKENS`] tokens greedy decoding gives after this many.
    Extractable(i32),
    /// Share of documents whose continuation so many samples contain with probability ½.
    Discoverable(Draws),
    /// The same of what is nearly the continuation: at least this share.
    NearlyDiscoverable(Draws),
    /// Share of documents whose personal detail of a kind is picked out among others behind its own text.
    DetailPicked(RankedDetail),
    /// Mean exposure of canaries, in bits.
    Exposure,
    /// Share of canaries that are recognised as planted, where so many percent of references would be taken for planted.
    CanariesDetected(u8),
    /// Share of canaries, or of references, of whose secret greedy decoding gives all that is left, behind their own beginning.
    SecretExtracted(Secret),
    /// Share of tokens that are the model's first choice in one of [`PLACES`] equal parts of whole documents, counted from 0.
    ExactMemorizationAt(u8),
    /// Distinct prompts of a document, of all strategies together, after which its own text came out word for word (multi-prefix
    /// memorization), where there were several.
    OwnVerbatimPrompts,
    /// Tokens that the model read for a generation, the prompt included: its cost.
    TokensRead,
    /// Share of documents that a prompt shorter than themselves brings forth.
    Compressed,
    /// Mean adversarial compression ratio; 0 for documents that no prompt was found for.
    CompressionRatio,
}

/// Tokens of a continuation that generations are compared with at most; none where the extractor's settings are not there.
pub type Length = Option<usize>;

/// What is drawn, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draws {
    /// Tokens of the prefix.
    pub prefix: i32,
    /// Tokens of the continuation.
    pub tokens: usize,
    /// Samples drawn.
    pub samples: u64,
}

/// Which personal details are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RankedDetail {
    /// Their kind.
    pub kind: DetailKind,
    /// Whether training took loss on them; of prompts it takes none where it takes loss on responses.
    pub in_loss: bool,
}

impl RankedDetail {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = |in_loss| DetailKind::ALL.map(move |kind| Self { kind, in_loss });
        [true, false].into_iter().flat_map(kinds)
    }

    /// What a reader calls them: "numbers", "names in prompts".
    pub fn title(self) -> String {
        let kind = match self.kind {
            DetailKind::Number => "numbers",
            DetailKind::Name => "names",
            DetailKind::Email => "e-mail addresses",
            DetailKind::Phone => "phone numbers",
        };
        if self.in_loss {
            kind.to_owned()
        } else {
            format!("{kind} outside the loss")
        }
    }
}

impl fmt::Display for RankedDetail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outside = if self.in_loss { "" } else { "_outside_loss" };
        write!(formatter, "detail_picked_{}{outside}", self.kind.name())
    }
}

/// How much of a secret comes before what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// Only what the canary begins with.
    NothingGiven,
    /// The first half of its tokens as well.
    HalfGiven,
}

/// Percentages of references taken for planted, at which canaries are recognised.
pub const CANARY_FALSE_POSITIVE_PERCENT: [u8; 2] = [1, 10];

/// What a generation's sentences are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Against {
    /// The whole training set: the finding.
    Training,
    /// As many sentences of the training set as of the held-out set: what a control can be set against.
    Comparable,
    /// What the prompt's own document goes on with.
    Own,
    /// The held-out set, over as many sentences: the control.
    HeldOut,
}

/// How sure an average is depends on what is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A share of samples or documents: 0 of n does not prove 0.
    Rate,
    /// Any other mean.
    Mean,
    /// A number of samples, for which no interval is given.
    Count,
}

impl Measure {
    /// Whether it is given by the copies of the prompt's document. What is shared with any training document is not: that may
    /// be another document, with other copies.
    pub fn is_by_copies(self) -> bool {
        !matches!(
            self,
            Self::TrainingTextEmitted
                | Self::Verbatim
                | Self::Boilerplate
                | Self::PersonalDetails
                | Self::Paraphrase
                | Self::Idea
                | Self::Any
                | Self::CommonSubstring
                | Self::MatchedCharsShare
                | Self::LongestMatchChars
                | Self::WithoutSentence
                | Self::Similarity(Against::Training | Against::Comparable | Against::HeldOut)
                | Self::SimilarityReaching(Against::Training | Against::Comparable | Against::HeldOut, _)
        )
    }

    /// Its control, over the same samples; none where there is no such measure.
    pub fn control(self) -> Option<Self> {
        match self {
            Self::OwnVerbatim => Some(Self::ControlOwnVerbatim),
            Self::Verbatim | Self::TrainingTextEmitted => Some(Self::ControlVerbatim),
            Self::OwnAny | Self::Any => Some(Self::ControlAny),
            Self::Similarity(Against::Comparable) => Some(Self::Similarity(Against::HeldOut)),
            _ => None,
        }
    }

    /// Whether it is about what a generation shares with one document, that of its prompt.
    pub fn is_of_own_document(self) -> bool {
        matches!(
            self,
            Self::OwnVerbatim | Self::OwnParaphrase | Self::OwnIdea | Self::OwnAny
        )
    }

    /// Whether it is about canaries, which are in no measure of documents.
    pub fn is_of_canaries(self) -> bool {
        matches!(
            self,
            Self::Exposure | Self::CanariesDetected(_) | Self::SecretExtracted(_)
        )
    }

    /// Whether its control is the same of held-out documents, behind their own text: they have their own personal details, and go on in
    /// their own way.
    pub fn has_held_out_as_control(self) -> bool {
        matches!(self, Self::DetailPicked(_) | Self::ExactContinuation)
    }

    /// Whether the figure is a lower bound where not all pairs of sentences were compared.
    pub fn is_similarity(self) -> bool {
        matches!(self, Self::Similarity(_) | Self::SimilarityReaching(..))
    }

    /// A control of passages without near-duplicates across the split; none for any other measure.
    pub fn apart(self) -> Option<Self> {
        match self {
            Self::ControlVerbatim => Some(Self::ControlVerbatimApart),
            Self::ControlOwnVerbatim => Some(Self::ControlOwnVerbatimApart),
            Self::ControlAny => Some(Self::ControlAnyApart),
            _ => None,
        }
    }

    /// Which interval belongs to it.
    pub fn kind(self) -> Kind {
        match self {
            Self::PersonalDetails => Kind::Count,
            Self::MatchedCharsShare
            | Self::LongestMatchChars
            | Self::Similarity(_)
            | Self::RougeL(_)
            | Self::Bleu(_)
            | Self::EditSimilarity(_)
            | Self::Loss
            | Self::ValidationLoss
            | Self::OtherLoss
            | Self::BitsPerByte
            | Self::ExactMemorization
            | Self::ExtractionStrength
            | Self::Exposure
            | Self::ExactMemorizationAt(_)
            | Self::OwnVerbatimPrompts
            | Self::TokensRead
            | Self::CompressionRatio => Kind::Mean,
            _ => Kind::Rate,
        }
    }

    /// The unit of its values.
    pub fn unit(self) -> &'static str {
        match self {
            Self::PersonalDetails => "generations",
            Self::LongestMatchChars => "characters",
            Self::Similarity(_) => "cosine",
            Self::Loss | Self::ValidationLoss | Self::OtherLoss => "nats per token",
            Self::BitsPerByte => "bits per byte",
            Self::Exposure => "bits",
            Self::OwnVerbatimPrompts => "prompts",
            Self::TokensRead => "tokens",
            Self::CompressionRatio => "tokens per token",
            Self::RougeL(_) | Self::Bleu(_) | Self::EditSimilarity(_) | Self::ExtractionStrength => {
                "from 0 to 1"
            }
            _ => "share",
        }
    }

    /// The ends of its range, where it has any.
    pub fn bounds(self) -> Option<(f64, f64)> {
        match self.unit() {
            "share" | "from 0 to 1" => Some((0.0, 1.0)),
            "cosine" => Some((-1.0, 1.0)),
            _ => Some((0.0, f64::INFINITY)),
        }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Training => "max_similarity",
            Self::Comparable => "comparable_similarity",
            Self::Own => "own_similarity",
            Self::HeldOut => "heldout_similarity",
        })
    }
}

/// The name in `summary.parquet`.
impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::OwnVerbatim => "own_verbatim",
            Self::OwnParaphrase => "own_paraphrase",
            Self::OwnIdea => "own_idea",
            Self::OwnAny => "own_any",
            Self::ExactContinuation => "exact_continuation",
            Self::DocumentsEmitted => "documents_emitted",
            Self::TrainingTextEmitted => "training_text_emitted",
            Self::ControlVerbatim => "control_verbatim",
            Self::ControlAny => "control_any",
            Self::ControlVerbatimApart => "control_verbatim_without_near_duplicates",
            Self::ControlOwnVerbatim => "control_own_verbatim",
            Self::ControlOwnVerbatimApart => "control_own_verbatim_without_near_duplicates",
            Self::ControlAnyApart => "control_any_without_near_duplicates",
            Self::WithoutSentence => "without_sentence",
            Self::ValidationLoss => "validation_loss",
            Self::OtherLoss => "other_loss",
            Self::DocumentsCut => "documents_cut",
            Self::Verbatim => "verbatim",
            Self::Boilerplate => "boilerplate",
            Self::PersonalDetails => "personal_details",
            Self::Paraphrase => "paraphrase",
            Self::Idea => "idea",
            Self::Any => "any",
            Self::CommonSubstring => return write!(formatter, "common_substring_{MIN_COMMON_CHARS}_chars"),
            Self::MatchedCharsShare => "matched_chars_share",
            Self::LongestMatchChars => "longest_match_chars",
            Self::Similarity(against) => return write!(formatter, "{against}"),
            Self::SimilarityReaching(against, hundredths) => {
                return write!(formatter, "{against}_at_{}", f64::from(*hundredths) / 100.0);
            }
            Self::RougeL(length) => return of_length(formatter, "rouge_l", *length),
            Self::Bleu(length) => return of_length(formatter, "bleu", *length),
            Self::ApproximatelyMemorized(length) => return of_length(formatter, "bleu_over_0.75", *length),
            Self::EditSimilarity(length) => return of_length(formatter, "edit_similarity", *length),
            Self::FinalAnswer => "final_answer_right",
            Self::Loss => "loss",
            Self::BitsPerByte => "bits_per_byte",
            Self::ExactMemorization => "exact_memorization",
            Self::ExtractionStrength => "extraction_strength",
            Self::Extractable(prefix) => {
                return write!(
                    formatter,
                    "extractable_{EXTRACTABLE_TOKENS}_tokens_after_{prefix}"
                );
            }
            Self::Discoverable(draws) => return write!(formatter, "discoverable_{draws}"),
            Self::NearlyDiscoverable(draws) => return write!(formatter, "nearly_discoverable_{draws}"),
            Self::DetailPicked(details) => return write!(formatter, "{details}"),
            Self::Exposure => "exposure",
            Self::CanariesDetected(percent) => {
                return write!(formatter, "canary_tpr_at_{}_fpr", f64::from(*percent) / 100.0);
            }
            Self::SecretExtracted(Secret::NothingGiven) => "secret_extracted",
            Self::SecretExtracted(Secret::HalfGiven) => "secret_extracted_after_half",
            Self::ExactMemorizationAt(place) => {
                return write!(formatter, "exact_memorization_part{}_of_{PLACES}", place + 1);
            }
            Self::OwnVerbatimPrompts => "own_verbatim_prompts",
            Self::TokensRead => "tokens_read",
            Self::Compressed => "compressed",
            Self::CompressionRatio => "compression_ratio",
        };
        formatter.write_str(name)
    }
}

fn of_length(formatter: &mut fmt::Formatter<'_>, name: &str, length: Length) -> fmt::Result {
    match length {
        Some(tokens) => write!(formatter, "{name}_{tokens}_tokens"),
        None => formatter.write_str(name),
    }
}

impl fmt::Display for Draws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prefix,
            tokens,
            samples,
        } = self;
        write!(formatter, "{tokens}_tokens_after_{prefix}_n{samples}_p0.5")
    }
}
