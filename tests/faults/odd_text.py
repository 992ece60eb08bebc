"""Unicode of every sort in the texts of a corpus, in every format that can hold it, and bytes that are none."""

import unicodedata

from faults import corpora
from faults.bench import Failure, expect_refusal

NAME = "odd text"
STAGES = {"dupgen": 30, "make": 6}
PIECES = [
    "\u0301\u0323\u035f" * 5,
    "e\u0301 \u1e9b\u0323 \u212b \ufb01 \u0130 \u0131 ẞ ß",
    "שלום \u202eabc\u202c \u2067x\u2069 مرحبا \u200f",
    "\u0000 nul \u0001\u0007\u001b[31m\u007f\u0085\u009b",
    "\ufeff bom \ufffe \uffff \U0010ffff \ufdd0 \U0001fffe",
    "line\u2028separator\u2029paragraph\u000b\u000c\r\n\r\ttab",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫 👍🏽 \u200d\u200d \ufe0f",
    "\ue000 \U000f0000 \U0010fffd private",
    "漢字かな交じり文。 한국어 ไทยไม่มีช่องว่าง",
    "\u3000\u00a0\u2003\u180e\u200b\u2060 blanks",
    "ｆｕｌｌｗｉｄｔｈ Ⅷ ½ ﷺ",
    "<script>alert(1)</script> </td> &amp; &#x202e; ' \" ` ${x} {{ y }} {% z %}",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀 𐍈",
    "\\u0000 \\ud800 \\x00 %00 \\",
    "=1+1 @x -2 +3 ,;\t| \"\" '",
]
LONE = "\ud800 lone \udfff halves \ud83d"


def attempt(bench, stage, chooser):
    kind = chooser.choice([valid, valid, valid, halves, no_utf8, blank] if stage == "dupgen" else [valid])
    with bench.copy() as place:
        return kind(bench, place, stage, chooser)


def any_text(chooser, number):
    def piece():
        if chooser.random() < 0.6:
            return chooser.choice(PIECES)
        characters = (chr(chooser.choice([chooser.randrange(0x300), chooser.randrange(0x110000)])) for _ in range(8))
        return "".join(character for character in characters if unicodedata.category(character) != "Cs")

    # Something of its own, so that no two are the same, and no blanks at its ends, which readers may take away.
    return f"n{number} " + " ".join(piece() for _ in range(chooser.randint(1, 5))) + " end"


def run(bench, place, stage, settings):
    if stage == "dupgen":
        return bench.run(corpora.dupgen(settings, place.folder / "out")), place.folder / "out"
    place.run = place.folder / "other"
    done = bench.run(bench.make(place, pipeline=settings))
    return done, next((place.run / "corpus").iterdir()) if done.status == 0 else None


def valid(bench, place, stage, chooser):
    texts = [any_text(chooser, number) for number in range(40)]
    ending = chooser.choice(list(corpora.FORMATS))
    if ending == "csv":
        # Nothing says how a carriage return alone or a NUL is written there.
        texts = [text.replace("\r\n", "\n").replace("\r", " ").replace("\0", " ") for text in texts]
    content = corpora.FORMATS[ending](texts)
    if ending == "jsonl" and chooser.random() < 0.5:
        content = corpora.as_jsonl(texts, ascii_only=True)
    if ending in ("jsonl", "csv") and chooser.random() < 0.3:
        content = b"\xef\xbb\xbf" + content
    (place.folder / f"corpus.{ending}").write_bytes(content)
    done, out = run(bench, place, stage, corpora.settings(place.folder, f"corpus.{ending}"))
    bench.expect_success(done, f"Unicode in {ending}")
    found = corpora.texts(out)
    if found != set(texts):
        raise Failure(f"Unicode in {ending}: {sorted(set(texts) - found)[:2]!a} came out as {sorted(found - set(texts))[:2]!a}")
    return f"read from {ending}"


def halves(bench, place, stage, chooser):
    """Half surrogate pairs, which JSON can write: they become U+FFFD, and are counted."""
    texts = [any_text(chooser, number) + (LONE if number % 4 == 0 else "") for number in range(40)]
    (place.folder / "corpus.jsonl").write_bytes(corpora.as_jsonl(texts, ascii_only=True))
    done, out = run(bench, place, stage, corpora.settings(place.folder, "corpus.jsonl"))
    bench.expect_success(done, "half surrogate pairs")
    expected = {"".join("\ufffd" if 0xD800 <= ord(character) < 0xE000 else character for character in text) for text in texts}
    if corpora.texts(out) != expected or "10 documents half a surrogate pair" not in done.said:
        raise Failure(f"half surrogate pairs: {len(corpora.texts(out) & expected)} of {len(expected)} texts; {done.told()}")
    return "replaced and counted"


def no_utf8(bench, place, stage, chooser):
    """Bytes that are no UTF-8: refused with file and line, or left out and counted where that was asked for."""
    bad = chooser.choice([b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe9t\xe9"])
    texts = [any_text(chooser, number) for number in range(40)]
    lines = corpora.as_jsonl(texts).splitlines(keepends=True)
    at = chooser.randrange(len(lines))
    lines[at] = lines[at].replace(b" end", b" " + bad + b" end")
    file = place.folder / "corpus.jsonl"
    file.write_bytes(b"".join(lines))
    is_skipped = chooser.random() < 0.5
    settings = corpora.settings(place.folder, file.name, 'bad_documents = "skip"\nmax_left_out = 0.5' if is_skipped else "")
    done, out = run(bench, place, stage, settings)
    if not is_skipped:
        expect_refusal(done, file, statuses=(3,))
        return "refused"
    bench.expect_success(done, "no UTF-8, skipped")
    if corpora.texts(out) != set(texts) - {texts[at]} or "not UTF-8" not in done.said:
        raise Failure(f"no UTF-8, skipped: {done.told()}")
    return "left out and counted"


def blank(bench, place, stage, chooser):
    """Texts of nothing but blanks: refused with file and line, or left out and counted."""
    texts = [any_text(chooser, number) for number in range(40)]
    nothing = chooser.choice(["", " ", "\u3000\u2003", "\n\r\t", "\u0085"])
    file = place.folder / "corpus.jsonl"
    file.write_bytes(corpora.as_jsonl([*texts, nothing]))
    done, out = run(bench, place, stage, corpora.settings(place.folder, file.name))
    if done.status != 0:
        expect_refusal(done, file, statuses=(3,))
        return "refused"
    if corpora.texts(out) != set(texts):
        raise Failure(f"a blank text {nothing!a}: {len(corpora.texts(out))} of {len(texts)}; {done.told()}")
    return "left out and counted"
