//! What many documents begin with alike: the preamble of a template, a system prompt, a letterhead.
//!
//! Prompts of so many first tokens that all lie in it are one and the same prompt: whatever the model knows, at most one document can
//! come out. So prefixes are counted behind it, as behind the preamble of a template that was found out.

use std::collections::BTreeMap;

/// Fewest tokens of a shared beginning: a third of a usual prompt. A few common words are none.
const MIN_TOKENS: usize = 16;

/// Share of the training documents that begin so, at least.
const MIN_SHARE: f64 = 0.25;

/// Fewest documents that begin so.
const MIN_DOCUMENTS: usize = 4;

/// What a quarter of the training documents, or more, begin with alike: a tree of tokens, whose every node so many documents pass.
#[derive(Debug)]
pub(crate) struct SharedBeginnings {
    /// The next nodes of each node, by token; the first is where documents begin.
    nodes: Vec<BTreeMap<i64, usize>>,
}

impl SharedBeginnings {
    /// Finds them in the tokens of the training documents, each document once.
    pub(crate) fn find(documents: &[&[i64]]) -> Self {
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
        Self { nodes }
    }

    /// How many tokens a document begins with as so many others do; 0 where those are too few to be a preamble.
    pub(crate) fn length(&self, tokens: &[i64]) -> usize {
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
/// them, or as many as leave half of what comes behind a plain prompt, so that no document is too short for its preamble's sake.
pub(crate) fn shift(shared: usize, length: usize, prefix: usize) -> usize {
    shared.min(length.saturating_sub(prefix) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning_with(shared: &[i64], number: i64) -> Vec<i64> {
        [shared, &[number, number + 1, 7]].concat()
    }

    fn lengths(documents: &[Vec<i64>]) -> Vec<usize> {
        let slices: Vec<&[i64]> = documents.iter().map(Vec::as_slice).collect();
        let beginnings = SharedBeginnings::find(&slices);
        slices.iter().map(|tokens| beginnings.length(tokens)).collect()
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

    #[test]
    fn a_shared_beginning_makes_no_document_too_short() {
        for (shared, length, prefix, expected) in [
            (20, 200, 50, 20),
            (20, 90, 50, 20),
            (46, 86, 50, 18),
            (20, 52, 50, 1),
            (20, 51, 50, 0),
            (20, 10, 50, 0),
        ] {
            let found = shift(shared, length, prefix);
            assert_eq!(found, expected, "{shared} of {length} behind {prefix}");
            assert!(length <= prefix || found + prefix < length);
        }
    }
}
