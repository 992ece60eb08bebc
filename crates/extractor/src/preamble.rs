//! What many documents begin with alike: the preamble of a template, a system prompt, a letterhead.
//!
//! Prompts of so many first tokens that all lie in it are one and the same prompt: whatever the model knows, at most one document can
//! come out. So prefixes are counted behind it, as behind the preamble of a template that was found out. The same goes for what only two
//! documents share, where it is as long as a prompt: of several kinds of letter each has a letterhead of its own. Not so for two versions
//! of one text: what most of both is made of is what is asked for.

use std::collections::BTreeMap;

/// Fewest tokens of a shared beginning: a third of a usual prompt. A few common words are none.
const MIN_TOKENS: usize = 16;

/// Share of the training documents that begin so, at least.
const MIN_SHARE: f64 = 0.25;

/// Fewest documents that begin so.
const MIN_DOCUMENTS: usize = 4;

/// Own tokens that a document needs behind what it shares with others, for a prompt and something to go on with.
const OWN_TOKENS: usize = 16;

/// What a quarter of the training documents, or more, begin with alike, as a tree of tokens, whose every node so many documents pass; and
/// what any two do.
#[derive(Debug)]
pub(crate) struct SharedBeginnings<'a> {
    /// The next nodes of each node, by token; the first is where documents begin.
    nodes: Vec<BTreeMap<i64, usize>>,
    /// The documents in the order of their tokens: those that begin most alike are neighbours.
    sorted: Vec<&'a [i64]>,
    /// Tokens of a prompt.
    prefix: usize,
}

impl<'a> SharedBeginnings<'a> {
    /// Finds them in the tokens of the training documents, each document once, for prompts of `prefix` tokens.
    pub(crate) fn find(documents: &[&'a [i64]], prefix: usize) -> Self {
        let fewest = MIN_DOCUMENTS.max((MIN_SHARE * documents.len() as f64).ceil() as usize);
        let mut nodes = vec![BTreeMap::new()];
        let mut groups = vec![(0, 0, documents.to_vec())];
        while let Some((node, length, group)) = groups.pop() {
            let mut next: BTreeMap<i64, Vec<&[i64]>> = BTreeMap::new();
            for tokens in group {
                if let Some(&token) = tokens.get(length) {
                    next.entry(token).or_default().push(tokens);
                }
            }
            next.retain(|_, alike| alike.len() >= fewest);
            for (token, alike) in next {
                let child = nodes.len();
                nodes.push(BTreeMap::new());
                nodes[node].insert(token, child);
                groups.push((child, length + 1, alike));
            }
        }
        let mut sorted = documents.to_vec();
        sorted.sort_unstable();
        Self {
            nodes,
            sorted,
            prefix,
        }
    }

    /// How many tokens a document begins with as others do: as a quarter of the training documents, or as one of them where a prompt
    /// would be the same. 0 where those are too few to be a preamble. `is_trained`: it is one of them itself.
    pub(crate) fn length(&self, tokens: &[i64], is_trained: bool) -> usize {
        let preamble = self.preamble(tokens);
        let alike = self.alike(tokens, is_trained);
        let prompt = preamble + self.prefix;
        // Another prompt is needed where the two part soon behind this one, or where it lies in no more than their letterhead.
        if alike >= prompt && (alike < prompt + OWN_TOKENS || 2 * alike <= tokens.len()) {
            alike
        } else {
            preamble
        }
    }

    /// How many tokens it shares with the training document, another one, that begins most alike.
    fn alike(&self, tokens: &[i64], is_trained: bool) -> usize {
        let place = self.sorted.partition_point(|other| *other < tokens);
        let before = place.checked_sub(1).map(|before| self.sorted[before]);
        let behind = self.sorted.get(place + usize::from(is_trained)).copied();
        let shared = |other: &[i64]| {
            other
                .iter()
                .zip(tokens)
                .take_while(|(left, right)| left == right)
                .count()
        };
        before.into_iter().chain(behind).map(shared).max().unwrap_or(0)
    }

    fn preamble(&self, tokens: &[i64]) -> usize {
        let mut node = 0;
        let shared = tokens.iter().take_while(|token| {
            let next = self.nodes[node].get(token);
            node = next.copied().unwrap_or(node);
            next.is_some()
        });
        Some(shared.count())
            .filter(|&length| length >= MIN_TOKENS)
            .unwrap_or(0)
    }
}

/// By how many tokens a prompt of `prefix` tokens ends later in a document of `length` tokens that shares `shared` with others: all of
/// them, where it has [`OWN_TOKENS`] of its own behind them; of other documents as many as leave half of what comes behind a plain prompt.
pub(crate) fn shift(shared: usize, length: usize, prefix: usize) -> usize {
    if length >= shared + OWN_TOKENS {
        shared
    } else {
        shared.min(length.saturating_sub(prefix) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning_with(shared: &[i64], number: i64) -> Vec<i64> {
        [shared, &[number, number + 1, 7]].concat()
    }

    fn lengths(documents: &[Vec<i64>]) -> Vec<usize> {
        lengths_before(50, documents)
    }

    fn lengths_before(prefix: usize, documents: &[Vec<i64>]) -> Vec<usize> {
        let slices: Vec<&[i64]> = documents.iter().map(Vec::as_slice).collect();
        let beginnings = SharedBeginnings::find(&slices, prefix);
        slices
            .iter()
            .map(|tokens| beginnings.length(tokens, true))
            .collect()
    }

    #[test]
    fn each_document_has_the_beginning_that_a_quarter_shares() {
        let (first, second): (Vec<i64>, Vec<i64>) = ((0..20).collect(), (0..6).chain(50..68).collect());
        let documents: Vec<Vec<i64>> = (0..10)
            .map(|number| beginning_with(&first, 100 + 3 * number))
            .chain((0..10).map(|number| beginning_with(&second, 200 + 3 * number)))
            .chain((0..10).map(|number| (300 + 20 * number..320 + 20 * number).collect()))
            .collect();
        assert_eq!(
            lengths(&documents),
            [vec![20; 10], vec![24; 10], vec![0; 10]].concat()
        );
    }

    /// A tokenizer may join the end of a template with what follows it in a few documents.
    #[test]
    fn few_documents_that_part_early_keep_what_they_share_with_the_others() {
        let frame: Vec<i64> = (0..20).collect();
        let documents: Vec<Vec<i64>> = (0..23)
            .map(|number| beginning_with(&frame, 100 + 3 * number))
            .chain((0..7).map(|number| beginning_with(&frame[..19], 500 + 3 * number)))
            .collect();
        assert_eq!(lengths(&documents), [vec![20; 23], vec![19; 7]].concat());
    }

    #[test]
    fn few_tokens_few_documents_and_a_small_share_are_none() {
        let (fifteen, sixteen): (Vec<i64>, Vec<i64>) = ((0..15).collect(), (0..16).collect());
        let short: Vec<Vec<i64>> = (0..20)
            .map(|number| beginning_with(&fifteen, 100 + 3 * number))
            .collect();
        let three: Vec<Vec<i64>> = (0..3)
            .map(|number| beginning_with(&sixteen, 100 + 3 * number))
            .collect();
        let fifth: Vec<Vec<i64>> = (0..4)
            .map(|number| beginning_with(&sixteen, 100 + 3 * number))
            .chain((1..17).map(|number| (1000 * number..1000 * number + 16).collect()))
            .collect();
        for documents in [short, three, fifth, Vec::new()] {
            assert!(
                lengths(&documents).iter().all(|&length| length == 0),
                "{documents:?}"
            );
        }
    }

    /// Ten kinds of letter, each a tenth of the corpus: without its own letterhead behind it a prompt would be that of its whole kind.
    #[test]
    fn what_two_documents_share_counts_where_it_is_as_long_as_a_prompt() {
        let documents: Vec<Vec<i64>> = (0..20)
            .map(|number| {
                let kind = 1000 * (1 + number / 2);
                let head: Vec<i64> = (kind..kind + 12).collect();
                beginning_with(&head, 100 + 3 * number)
            })
            .collect();
        assert_eq!(lengths_before(13, &documents), [0; 20]);
        assert_eq!(lengths_before(12, &documents), [12; 20]);
        let slices: Vec<&[i64]> = documents.iter().map(Vec::as_slice).collect();
        let beginnings = SharedBeginnings::find(&slices, 12);
        // Of a document that is held out, one training document is enough.
        let held_out = beginning_with(&documents[0][..12], 900);
        assert_eq!(beginnings.length(&held_out, false), 12);
        assert_eq!(beginnings.length(&[5; 40], false), 0);
    }

    #[test]
    fn versions_of_one_text_are_asked_for_what_they_share() {
        let text = |end: i64| -> Vec<i64> { (0..60).chain((0..20).map(|number| end + number)).collect() };
        // They share 60 of 80 tokens, and go on alike for long behind a prompt of 20; behind one of 50 they part soon.
        assert_eq!(lengths_before(20, &[text(100), text(200)]), [0; 2]);
        assert_eq!(lengths_before(50, &[text(100), text(200)]), [60; 2]);
        assert_eq!(lengths_before(61, &[text(100), text(200)]), [0; 2]);
        // A letterhead of 30 tokens, of 90.
        let letter = |end: i64| -> Vec<i64> { (0..30).chain((0..60).map(|number| end + number)).collect() };
        assert_eq!(lengths_before(10, &[letter(100), letter(200)]), [30; 2]);
    }

    #[test]
    fn a_shared_beginning_leaves_something_of_its_own_to_every_document() {
        for (shared, length, prefix, expected) in [
            (20, 200, 50, 20),
            (20, 90, 50, 20),
            (98, 137, 50, 98),
            (46, 62, 50, 46),
            // Too little of its own.
            (46, 61, 50, 5),
            (40, 51, 50, 0),
            (20, 10, 50, 0),
        ] {
            assert_eq!(
                shift(shared, length, prefix),
                expected,
                "{shared} of {length} behind {prefix}"
            );
        }
    }
}
