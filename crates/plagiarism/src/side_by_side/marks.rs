//! A text cut where passages start and end.

use text_align::Span;

/// A stretch of text that lies in the same passages throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'text> {
    /// The stretch; it may be empty only in an empty text.
    pub text: &'text str,
    /// The passages that it lies in, by their place in the list, ascending.
    pub passages: Vec<usize>,
    /// Those of them that start with it.
    pub starting: Vec<usize>,
    /// Those of them that end with it.
    pub ending: Vec<usize>,
}

/// Cuts `text` at both ends of every span. What a span has outside the text is left out.
pub fn cut<'text>(text: &'text str, spans: &[Span]) -> Vec<Segment<'text>> {
    let mut cuts: Vec<usize> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut segments = Vec::new();
    let (mut rest, mut start) = (text, 0);
    for end in cuts.into_iter().chain([usize::MAX]) {
        let length = rest
            .char_indices()
            .nth(end - start)
            .map_or(rest.len(), |(byte, _)| byte);
        let (taken, after) = rest.split_at(length);
        if !taken.is_empty() {
            segments.push(segment(taken, start, end, spans));
        }
        (rest, start) = (after, end);
    }
    segments
}

fn segment<'text>(text: &'text str, start: usize, end: usize, spans: &[Span]) -> Segment<'text> {
    let which = |is_wanted: &dyn Fn(&Span) -> bool| -> Vec<usize> {
        let covering = |span: &Span| span.start <= start && end <= span.end;
        (0..spans.len())
            .filter(|&index| covering(&spans[index]) && is_wanted(&spans[index]))
            .collect()
    };
    Segment {
        text,
        passages: which(&|_| true),
        starting: which(&|span| span.start == start),
        ending: which(&|span| span.end == end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_passages_share_a_segment() {
        let spans = [Span::new(1, 4), Span::new(3, 6), Span::new(9, 99)];
        let found: Vec<(&str, Vec<usize>)> = cut("aébcdefghij", &spans)
            .into_iter()
            .map(|segment| (segment.text, segment.passages))
            .collect();
        let expected = [
            ("a", vec![]),
            ("éb", vec![0]),
            ("c", vec![0, 1]),
            ("de", vec![1]),
            ("fgh", vec![]),
            ("ij", vec![2]),
        ];
        assert_eq!(found, expected);
        let segments = cut("aébcdefghij", &spans);
        assert_eq!((&segments[2].starting, &segments[2].ending), (&vec![1], &vec![0]));
        assert!(cut("", &[]).is_empty());
    }
}
