//! One form on both sides of a comparison.
//!
//! Documents are compared as the model's tokenizer gives them back where that is known ([`decoded`](crate::corpus::decoded)). Where
//! it is not, a tokenizer that composes accents or drops special tokens that are part of the text (`[NAME]`, `<|user|>`) would leave
//! a text known word for word without anything in common with its document. So both sides are brought into one form before
//! anything is compared, and offsets are led back.
//!
//! - The *compared* form is composed (Unicode NFC) and has no placeholders. Nearly every text is its own compared form.
//! - The *folded* form, for exact search, goes further: compatibility composition (NFKC), lower case, and any run of white
//!   space is one blank. What is the same in this form is the same word for word.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use text_align::Span;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_segmentation::UnicodeSegmentation;

/// Placeholders and marks of turns: `[NAME]`, `[DATE_2]`, `<|end_of_turn|>`, `<s>`, `</s>`. They carry nothing of a text, and
/// where they are special tokens a generation is decoded without them.
static PLACEHOLDER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\[[A-Z][A-Z0-9_]{0,30}\]|<\|[^<>|\s]{1,40}\|>|</?s>").ok());

/// A text in another form, each of whose characters knows where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NormalForm {
    text: String,
    /// For each character of the form, the characters of the text that it comes from, half-open.
    origins: Vec<(u32, u32)>,
}

impl NormalForm {
    /// The compared form of `text`.
    pub fn compared(text: &str) -> Self {
        Self::of(text, compare)
    }

    /// The folded form of `text`.
    pub fn folded(text: &str) -> Self {
        Self::of(text, fold)
    }

    fn of(text: &str, form: impl Fn(&str, &mut dyn FnMut(char, Span))) -> Self {
        let mut made = Self::default();
        form(text, &mut |character, origin| {
            made.text.push(character);
            made.origins.push((origin.start as u32, origin.end as u32));
        });
        made
    }

    /// The form itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of its characters.
    pub fn characters(&self) -> usize {
        self.origins.len()
    }

    /// The characters of the text that characters `span` of the form come from, those between them included.
    pub fn origin(&self, span: Span) -> Span {
        let Some(first) = self.origins.get(span.start).filter(|_| !span.is_empty()) else {
            let end = self.origins.last().map_or(0, |&(_, end)| end as usize);
            return Span::new(end, end);
        };
        let last = self.origins[(span.end - 1).min(self.origins.len() - 1)];
        Span::new(first.0 as usize, last.1 as usize)
    }

    /// The characters of the form that come from characters `span` of the text.
    pub fn image(&self, span: Span) -> Span {
        let first = self
            .origins
            .partition_point(|&(_, end)| end as usize <= span.start);
        let last = self
            .origins
            .partition_point(|&(start, _)| (start as usize) < span.end);
        Span::new(first, last.max(first))
    }
}

/// The compared form of `text`, which nearly always is `text` itself.
pub fn compared(text: &str) -> Cow<'_, str> {
    if is_compared(text) {
        return Cow::Borrowed(text);
    }
    let mut form = String::with_capacity(text.len());
    compare(text, &mut |character, _| form.push(character));
    Cow::Owned(form)
}

fn is_compared(text: &str) -> bool {
    (text.is_ascii() || is_nfc(text)) && placeholders(text).next().is_none()
}

/// The folded form of `text`.
pub fn folded(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    if text.is_ascii() && placeholders(text).next().is_none() {
        // Nothing is composed, and nothing is left out.
        let mut after_blank = false;
        for letter in text.chars() {
            let is_blank = letter.is_whitespace();
            if !is_blank {
                form.push(letter.to_ascii_lowercase());
            } else if !after_blank {
                form.push(' ');
            }
            after_blank = is_blank;
        }
        return form;
    }
    fold(text, &mut |character, _| form.push(character));
    form
}

fn compare(text: &str, emit: &mut dyn FnMut(char, Span)) {
    walk(text, |cluster, origin| {
        each(cluster, origin, cluster.nfc(), &mut *emit);
    });
}

fn fold(text: &str, emit: &mut dyn FnMut(char, Span)) {
    let mut after_blank = false;
    walk(text, |cluster, origin| {
        each(cluster, origin, cluster.nfkc(), &mut |letter, origin| {
            let is_blank = letter.is_whitespace();
            if is_blank && !after_blank {
                emit(' ', origin);
            } else if !is_blank {
                letter.to_lowercase().for_each(|letter| emit(letter, origin));
            }
            after_blank = is_blank;
        });
    });
}

/// Hands out the characters of a cluster in another `form`, each with where it comes from: its own place where the form has as many
/// characters, and else the whole cluster.
fn each(
    cluster: &str,
    origin: Span,
    form: impl Iterator<Item = char> + Clone,
    emit: &mut dyn FnMut(char, Span),
) {
    let one_to_one = cluster.is_ascii() || form.clone().count() == origin.len();
    for (place, letter) in (origin.start..).zip(form) {
        let own = Span::new(place, place + 1);
        emit(letter, if one_to_one { own } else { origin });
    }
}

/// Hands out the grapheme clusters of `text` outside placeholders, each with its place. Composition never crosses them.
fn walk(text: &str, mut visit: impl FnMut(&str, Span)) {
    let mut skipped = placeholders(text).peekable();
    let mut character = 0;
    for (byte, cluster) in text.grapheme_indices(true) {
        let length = if cluster.len() == 1 {
            1
        } else {
            cluster.chars().count()
        };
        while skipped.peek().is_some_and(|place| place.end <= byte) {
            skipped.next();
        }
        if skipped.peek().is_none_or(|place| byte < place.start) {
            visit(cluster, Span::new(character, character + length));
        }
        character += length;
    }
}

/// Where placeholders are, in bytes.
fn placeholders(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let found = PLACEHOLDER.as_ref().map(|pattern| pattern.find_iter(text));
    found.into_iter().flatten().map(|place| place.range())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_form_is_composed_and_has_no_placeholders() {
        for (text, expected) in [
            ("The lamp burned.", "The lamp burned."),
            ("e\u{301}te\u{301}", "été"),
            (
                "Dear [NAME], the <|user|> said <s>yes</s>.",
                "Dear , the  said yes.",
            ),
            ("[not this] [Nor] [] <b>", "[not this] [Nor] [] <b>"),
            ("한\u{1112}\u{1161}\u{11ab}", "한한"),
        ] {
            assert_eq!(compared(text), expected, "{text:?}");
            assert_eq!(NormalForm::compared(text).text(), expected, "{text:?}");
        }
        assert!(matches!(compared("naïve 🗼"), Cow::Borrowed(_)));
    }

    #[test]
    fn folded_form_ignores_case_white_space_and_compatibility() {
        for (text, expected) in [
            ("The  LAMP\r\n\tburned", "the lamp burned"),
            ("ﬁne… E\u{301}TÉ", "fine... été"),
            ("a [DATE] against\u{a0}the [DATE].", "a against the ."),
            ("a  against the .", "a against the ."),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_form_is_the_same_with_and_without_origins(text in "([ -~\\t\\r\\n\\x0b\\x0c\\x1c\\x7f]|A  b|\\[NAME\\]|<s>|é){0,40}") {
            let form = NormalForm::folded(&text);
            proptest::prop_assert_eq!(folded(&text), form.text());
        }
    }

    #[test]
    fn offsets_lead_back_to_the_text() {
        let text = "Né e\u{301}  [NAME] ﬁn";
        //          01 23       4..6 -> blank, 6..12 placeholder, 12 blank, 13 ﬁ, 14 n
        let form = NormalForm::folded(text);
        assert_eq!(form.text(), "né é fin");
        let cut = |start, end| {
            form.origin(Span::new(start, end))
                .cut(text)
                .unwrap_or("-")
                .to_owned()
        };
        assert_eq!(cut(3, 4), "e\u{301}");
        assert_eq!(cut(0, 2), "Né");
        // Both letters of the ligature come from it.
        assert_eq!((cut(5, 6), cut(5, 8)), ("ﬁ".to_owned(), "ﬁn".to_owned()));
        let place = text.chars().position(|character| character == 'ﬁ').unwrap_or(0);
        assert_eq!(form.image(Span::new(place, place + 1)), Span::new(5, 7));
        assert_eq!(form.origin(Span::new(3, 3)).len(), 0);
    }
}
