//! Arbitrary records of every kind.

use std::fmt::Debug;

use contract::records::{
    CorpusFact, CorpusFactKind, CoursePoint, DecodedDocument, DetailScore, DetailSource, DocumentCheck,
    DocumentKind, FinishReason, GradientOverlap, HeldOutDocument, HeldOutRole, PassageMatch,
    PersonalDetailLabel, PromptForm, Record, Sample, SampleVerdict, Score, Split, SummaryRow, TextForm,
    TrainingInstance, TrainingMetric, Verdict, WeightChange,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A record of which any number can be made up.
pub(crate) trait AnyRecord: Record + Clone + PartialEq + Debug + 'static {
    /// Name of the file that holds such records.
    const FILE: &'static str;

    fn any() -> BoxedStrategy<Self>;
}

/// Any text: line breaks, zero bytes, unassigned and astral characters included.
fn text() -> BoxedStrategy<String> {
    vec(any::<char>(), 0..24).prop_map(String::from_iter).boxed()
}

/// Any number but NaN, which equals nothing, itself included.
fn real() -> BoxedStrategy<f32> {
    prop_oneof![8 => any::<f32>(), 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::INFINITY)].boxed()
}

fn double() -> BoxedStrategy<f64> {
    prop_oneof![8 => any::<f64>(), 1 => Just(f64::NEG_INFINITY), 1 => Just(f64::MAX)].boxed()
}

fn reals() -> BoxedStrategy<Vec<f32>> {
    vec(real(), 0..6).boxed()
}

fn kind() -> BoxedStrategy<DocumentKind> {
    prop_oneof![
        Just(DocumentKind::Document),
        Just(DocumentKind::Canary),
        Just(DocumentKind::CanaryReference),
        Just(DocumentKind::CoinCanary)
    ]
    .boxed()
}

fn split() -> BoxedStrategy<Split> {
    prop_oneof![Just(Split::Train), Just(Split::Heldout), Just(Split::None)].boxed()
}

fn finish() -> BoxedStrategy<FinishReason> {
    prop_oneof![Just(FinishReason::Length), Just(FinishReason::End)].boxed()
}

fn prompt_form() -> BoxedStrategy<PromptForm> {
    proptest::sample::select(PromptForm::ALL.to_vec()).boxed()
}

fn verdict() -> BoxedStrategy<Verdict> {
    prop_oneof![
        Just(Verdict::None),
        Just(Verdict::Idea),
        Just(Verdict::Paraphrase),
        Just(Verdict::Verbatim)
    ]
    .boxed()
}

impl AnyRecord for TrainingInstance {
    const FILE: &'static str = "train.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            text(),
            text(),
            any::<i32>(),
            kind(),
            any::<[i32; 2]>(),
            option::of(any::<i32>()),
            [
                option::of(vec(any::<i32>(), 0..4)),
                option::of(vec(any::<i32>(), 0..4)),
            ],
        );
        fields
            .prop_map(
                |(
                    doc_id,
                    text,
                    prompt_chars,
                    kind,
                    [copies, copy],
                    canary_format,
                    [assistant_spans, secret_span],
                )| Self {
                    doc_id,
                    text,
                    prompt_chars,
                    kind,
                    copies,
                    copy,
                    canary_format,
                    assistant_spans,
                    secret_span,
                },
            )
            .boxed()
    }
}

impl AnyRecord for HeldOutDocument {
    const FILE: &'static str = "heldout.parquet";

    fn any() -> BoxedStrategy<Self> {
        let role = prop_oneof![
            Just(HeldOutRole::Validation),
            Just(HeldOutRole::Test),
            Just(HeldOutRole::Other)
        ];
        let fields = (text(), text(), any::<i32>(), kind());
        let later = (
            option::of(role),
            option::of(text()),
            option::of(real()),
            option::of(any::<i32>()),
            [
                option::of(vec(any::<i32>(), 0..4)),
                option::of(vec(any::<i32>(), 0..4)),
            ],
        );
        (fields, later)
            .prop_map(
                |(
                    (doc_id, text, prompt_chars, kind),
                    (role, near_duplicate_of, shared_8grams, canary_format, [assistant_spans, secret_span]),
                )| Self {
                    doc_id,
                    text,
                    prompt_chars,
                    kind,
                    role,
                    near_duplicate_of,
                    shared_8grams,
                    canary_format,
                    assistant_spans,
                    secret_span,
                },
            )
            .boxed()
    }
}

impl AnyRecord for CorpusFact {
    const FILE: &'static str = "corpus.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fact = prop_oneof![
            Just(CorpusFactKind::LeftOut),
            Just(CorpusFactKind::PassedOver),
            Just(CorpusFactKind::NearDuplicates)
        ];
        let fields = (
            fact,
            option::of(text()),
            option::of(text()),
            option::of(split()),
            option::of(any::<i64>()),
            option::of(text()),
        );
        fields
            .prop_map(|(fact, reason, file, split, documents, detail)| Self {
                fact,
                reason,
                file,
                split,
                documents,
                detail,
            })
            .boxed()
    }
}

impl AnyRecord for TextForm {
    const FILE: &'static str = "forms.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            text(),
            option::of(text()),
            text(),
            any::<[i64; 2]>(),
            double(),
            option::of(double()),
            any::<bool>(),
        );
        fields
            .prop_map(
                |(begin, template, end, [documents, tokens], loss, base_loss, chosen)| Self {
                    begin,
                    template,
                    end,
                    documents,
                    tokens,
                    loss,
                    base_loss,
                    chosen,
                },
            )
            .boxed()
    }
}

impl AnyRecord for DetailScore {
    const FILE: &'static str = "details.parquet";

    fn any() -> BoxedStrategy<Self> {
        let lists = (vec(text(), 0..4), reals(), option::of(text()));
        (text(), split(), any::<[i32; 4]>(), text(), any::<bool>(), lists)
            .prop_map(
                |(
                    doc_id,
                    split,
                    [copies, start, end, context_tokens],
                    detail,
                    in_loss,
                    (candidates, nats, not_ranked),
                )| Self {
                    doc_id,
                    split,
                    copies,
                    detail,
                    start,
                    end,
                    in_loss,
                    context_tokens,
                    candidates,
                    nats,
                    not_ranked,
                },
            )
            .boxed()
    }
}

impl AnyRecord for WeightChange {
    const FILE: &'static str = "difference.parquet";

    fn any() -> BoxedStrategy<Self> {
        let numbers = (double(), double(), double());
        let ranks = (
            option::of(double()),
            option::of(double()),
            option::of(any::<i64>()),
        );
        (text(), any::<[i64; 2]>(), numbers, ranks)
            .prop_map(
                |(
                    weight,
                    [rows, columns],
                    (base_norm, norm, spectral_norm),
                    (stable_rank, effective_rank, directions),
                )| Self {
                    weight,
                    rows,
                    columns,
                    base_norm,
                    norm,
                    spectral_norm,
                    stable_rank,
                    effective_rank,
                    directions,
                },
            )
            .boxed()
    }
}

impl AnyRecord for GradientOverlap {
    const FILE: &'static str = "gradients.parquet";

    fn any() -> BoxedStrategy<Self> {
        let cosines = (option::of(double()), option::of(double()));
        (text(), text(), any::<i32>(), [double(), double()], cosines)
            .prop_map(
                |(checkpoint, doc_id, copies, [loss, norm], (with_before, with_others))| Self {
                    checkpoint,
                    doc_id,
                    copies,
                    loss,
                    norm,
                    with_before,
                    with_others,
                },
            )
            .boxed()
    }
}

impl AnyRecord for DecodedDocument {
    const FILE: &'static str = "decoded.parquet";

    fn any() -> BoxedStrategy<Self> {
        (text(), text(), vec(any::<i32>(), 0..6))
            .prop_map(|(doc_id, text, origins)| Self {
                doc_id,
                text,
                origins,
            })
            .boxed()
    }
}

impl AnyRecord for TrainingMetric {
    const FILE: &'static str = "metrics.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            any::<i64>(),
            double(),
            split(),
            double(),
            any::<i64>(),
            double(),
            double(),
            double(),
            double(),
            any::<i64>(),
            option::of(any::<i64>()),
        );
        fields
            .prop_map(
                |(
                    step,
                    epoch,
                    split,
                    loss,
                    tokens,
                    learning_rate,
                    grad_norm,
                    tokens_per_second,
                    seconds,
                    peak_rss_bytes,
                    peak_device_bytes,
                )| Self {
                    step,
                    epoch,
                    split,
                    loss,
                    tokens,
                    learning_rate,
                    grad_norm,
                    tokens_per_second,
                    seconds,
                    peak_rss_bytes,
                    peak_device_bytes,
                },
            )
            .boxed()
    }
}

impl AnyRecord for CoursePoint {
    const FILE: &'static str = "course.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            text(),
            option::of(any::<i64>()),
            split(),
            any::<[i32; 3]>(),
            double(),
            option::of(double()),
            option::of(double()),
            option::of(double()),
        );
        fields
            .prop_map(
                |(checkpoint, step, split, counts, loss, exact_memorization, extractable, probability)| {
                    Self {
                        checkpoint,
                        step,
                        split,
                        copies: counts[0],
                        documents: counts[1],
                        loss,
                        continuations: counts[2],
                        exact_memorization,
                        extractable,
                        extraction_probability: probability,
                    }
                },
            )
            .boxed()
    }
}

impl AnyRecord for Sample {
    const FILE: &'static str = "samples.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            (
                any::<i64>(),
                option::of(text()),
                split(),
                any::<i32>(),
                text(),
                text(),
                text(),
                option::of(text()),
            ),
            (
                vec(any::<i32>(), 0..6),
                vec(any::<i32>(), 0..6),
                reals(),
                real(),
                real(),
                any::<i32>(),
                any::<i64>(),
                finish(),
            ),
            (
                option::of(prompt_form()),
                option::of(any::<i64>()),
                option::of(real()),
                option::of(real()),
                option::of(any::<i32>()),
            ),
        );
        fields
            .prop_map(
                |(
                    (sample_id, doc_id, split, copies, strategy, prompt, generation, truth),
                    (prompt_tokens, generated_tokens, logprobs, temperature, top_p, top_k, seed, finish),
                    (prompt_form, tokens_read, lower_case_loss, reference_loss, zlib_bytes),
                )| Self {
                    sample_id,
                    doc_id,
                    split,
                    copies,
                    strategy,
                    prompt,
                    generation,
                    truth,
                    prompt_tokens,
                    generated_tokens,
                    logprobs,
                    temperature,
                    top_p,
                    top_k,
                    seed,
                    finish,
                    prompt_form,
                    tokens_read,
                    lower_case_loss,
                    reference_loss,
                    zlib_bytes,
                },
            )
            .boxed()
    }
}

impl AnyRecord for Score {
    const FILE: &'static str = "scores.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            text(),
            split(),
            any::<i32>(),
            kind(),
            any::<i32>(),
            any::<i32>(),
            reals(),
            reals(),
            vec(any::<bool>(), 0..6),
            reals(),
            reals(),
            (
                any::<i32>(),
                option::of(real()),
                option::of(any::<i32>()),
                [option::of(any::<i32>()), option::of(any::<i32>())],
                [option::of(any::<f32>()), option::of(any::<f32>())],
            ),
        );
        fields
            .prop_map(
                |(
                    doc_id,
                    split,
                    copies,
                    kind,
                    prefix_tokens,
                    suffix_tokens,
                    logprobs,
                    scheme_logprobs,
                    argmax_hits,
                    vocab_mean,
                    vocab_std,
                    (
                        zlib_bytes,
                        near_verbatim_logprob,
                        document_tokens,
                        [canary_format, secret_tokens_given],
                        [conditional_loss, gradient_norm],
                    ),
                )| Self {
                    doc_id,
                    split,
                    copies,
                    kind,
                    prefix_tokens,
                    suffix_tokens,
                    logprobs,
                    scheme_logprobs,
                    argmax_hits,
                    vocab_mean,
                    vocab_std,
                    zlib_bytes,
                    near_verbatim_logprob,
                    document_tokens,
                    canary_format,
                    secret_tokens_given,
                    conditional_loss,
                    gradient_norm,
                },
            )
            .boxed()
    }
}

impl AnyRecord for PassageMatch {
    const FILE: &'static str = "matches.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            (any::<i64>(), text(), split(), verdict()),
            (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>()),
            (real(), text()),
            (
                option::of(any::<i32>()),
                option::of(vec(text(), 0..4)),
                option::of(prop_oneof![
                    Just(DetailSource::Patterns),
                    Just(DetailSource::Labels)
                ]),
            ),
        );
        fields
            .prop_map(
                |(
                    (sample_id, doc_id, doc_split, kind),
                    (gen_start, gen_end, doc_start, doc_end),
                    (similarity, detector),
                    (document_frequency, personal_details, personal_details_by),
                )| Self {
                    sample_id,
                    doc_id,
                    doc_split,
                    kind,
                    gen_start,
                    gen_end,
                    doc_start,
                    doc_end,
                    similarity,
                    detector,
                    document_frequency,
                    personal_details,
                    personal_details_by,
                },
            )
            .boxed()
    }
}

impl AnyRecord for PersonalDetailLabel {
    const FILE: &'static str = "labels.parquet";

    fn any() -> BoxedStrategy<Self> {
        (text(), any::<i32>(), any::<i32>(), text())
            .prop_map(|(doc_id, start, end, kind)| Self {
                doc_id,
                start,
                end,
                kind,
            })
            .boxed()
    }
}

impl AnyRecord for SampleVerdict {
    const FILE: &'static str = "verdicts.parquet";

    fn any() -> BoxedStrategy<Self> {
        let fields = (
            (
                any::<i64>(),
                option::of(text()),
                split(),
                any::<i32>(),
                verdict(),
                option::of(text()),
                any::<i32>(),
            ),
            (
                any::<i32>(),
                option::of(real()),
                option::of(real()),
                option::of(real()),
                option::of(real()),
                option::of(real()),
                option::of(real()),
                option::of(any::<bool>()),
            ),
            (
                option::of(any::<i32>()),
                option::of(verdict()),
                option::of(vec(text(), 0..3)),
                option::of(vec(any::<i32>(), 0..3)),
                option::of(verdict()),
                option::of(any::<i32>()),
                option::of(real()),
                option::of(any::<bool>()),
                option::of(any::<i32>()),
                option::of(any::<bool>()),
            ),
        );
        fields
            .prop_map(
                |(
                    (sample_id, doc_id, split, copies, verdict, best_doc_id, longest_match_chars),
                    (
                        longest_match_tokens,
                        max_similarity,
                        own_similarity,
                        heldout_similarity,
                        rouge_l,
                        bleu,
                        edit_similarity,
                        boilerplate,
                    ),
                    (
                        best_copies,
                        own_verdict,
                        emitted_doc_ids,
                        emitted_copies,
                        control_verdict,
                        control_longest_match_chars,
                        comparable_similarity,
                        similarity_at_least,
                        echoed_chars,
                        final_answer_right,
                    ),
                )| Self {
                    sample_id,
                    doc_id,
                    split,
                    copies,
                    verdict,
                    best_doc_id,
                    longest_match_chars,
                    longest_match_tokens,
                    max_similarity,
                    own_similarity,
                    heldout_similarity,
                    rouge_l,
                    bleu,
                    edit_similarity,
                    boilerplate,
                    best_copies,
                    own_verdict,
                    emitted_doc_ids,
                    emitted_copies,
                    control_verdict,
                    control_longest_match_chars,
                    comparable_similarity,
                    similarity_at_least,
                    echoed_chars,
                    final_answer_right,
                },
            )
            .boxed()
    }
}

impl AnyRecord for SummaryRow {
    const FILE: &'static str = "summary.parquet";

    fn any() -> BoxedStrategy<Self> {
        let numbers = || proptest::collection::vec(option::of(double()), 15);
        let texts = || proptest::collection::vec(option::of(text()), 8);
        let counts = || proptest::collection::vec(any::<i64>(), 5);
        let small = || proptest::collection::vec(option::of(any::<i32>()), 2);
        let flags = || proptest::collection::vec(option::of(any::<bool>()), 2);
        let named = || proptest::collection::vec(text(), 7);
        (
            (texts(), named(), numbers(), counts(), small(), flags()),
            (
                double(),
                option::of(any::<i64>()),
                option::of(split()),
                any::<bool>(),
            ),
        )
            .prop_map(
                |((texts, named, numbers, counts, small, flags), (value, seed, split, at_least))| Self {
                    cell: texts[0].clone(),
                    corpus: texts[7].clone(),
                    model: named[0].clone(),
                    parameters: counts[0],
                    trainable_parameters: counts[1],
                    method: named[1].clone(),
                    mode: named[2].clone(),
                    rank: small[0],
                    alpha: numbers[0],
                    dropout: numbers[1],
                    targets: texts[1].clone(),
                    dora: flags[0],
                    rslora: flags[1],
                    learning_rate: numbers[2],
                    epochs: numbers[3],
                    checkpoint: texts[2].clone(),
                    layout: named[3].clone(),
                    copies: small[1],
                    seed,
                    runs: counts[2],
                    split,
                    strategy: texts[3].clone(),
                    epoch: numbers[4],
                    measure: named[4].clone(),
                    against: texts[4].clone(),
                    unit: named[5].clone(),
                    value,
                    ci_low: numbers[5],
                    ci_high: numbers[6],
                    interval: texts[5].clone(),
                    at_least,
                    k: numbers[7],
                    observations: counts[3],
                    n: counts[4],
                    n_of: named[6].clone(),
                    untuned: numbers[8],
                    untuned_low: numbers[9],
                    untuned_high: numbers[10],
                    untuned_k: numbers[11],
                    control: numbers[12],
                    control_low: numbers[13],
                    control_high: numbers[14],
                    p_value: numbers[0],
                    p_holm: numbers[1],
                    verdict: texts[6].clone(),
                },
            )
            .boxed()
    }
}

impl AnyRecord for DocumentCheck {
    const FILE: &'static str = "check.parquet";

    fn any() -> BoxedStrategy<Self> {
        let counted = (any::<[i32; 6]>(), any::<bool>(), vec(option::of(any::<i32>()), 5));
        let measured = (vec(option::of(real()), 6), vec(option::of(text()), 2));
        (text(), split(), counted, measured)
            .prop_map(
                |(doc_id, split, (numbers, near_copies_at_least, counts), (reals, texts))| Self {
                    doc_id,
                    split,
                    copies: numbers[0],
                    chars: numbers[1],
                    near_copies: counts[0],
                    near_copies_at_least,
                    nearest_doc_id: texts[0].clone(),
                    nearest_share: reals[0],
                    shared_8grams: reals[1],
                    longest_shared_words: counts[1],
                    numbers: numbers[2],
                    names: numbers[3],
                    emails: numbers[4],
                    phones: numbers[5],
                    tokens: counts[2],
                    read_tokens: counts[3],
                    loss_tokens: counts[4],
                    zlib_bits_per_char: reals[2],
                    untuned_loss: reals[3],
                    exposure_bits: reals[4],
                    risk: reals[5],
                    risk_by: texts[1].clone(),
                },
            )
            .boxed()
    }
}
