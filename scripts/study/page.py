"""RESULTS.md as one page that needs no other file: its tables sort and filter, its claims unfold, its figures are inside."""

import base64
import hashlib
import html
import pathlib
import re

from markdown_it import MarkdownIt

PARTS = pathlib.Path(__file__).resolve().parents[2] / "crates/page-parts/src"


def render(text):
    """Markdown as HTML in the pages' style, without markup of the text's own."""
    found = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    found = re.sub(r' style="[^"]*"', "", found)
    found = re.sub(r"<tr>\n<td>(.*?)</td>", r'<tr>\n<th scope="row">\1</th>', found)
    return found.replace("<th>", '<th scope="col">').replace("<table>", '<div class="scroll" tabindex="0"><table class="wide">').replace("</table>", "</table></div>")


def inline_figures(found, folder):
    """Pictures as part of the page; what they show is read out by their own titles."""
    return re.sub(r'<p><img src="([^"]+\.svg)" alt="[^"]*" ?/?></p>', lambda match: (folder / match[1]).read_text(), found)


def fold_claims(text):
    """What stands under each fourth heading, folded under it."""
    first, *claims = text.split("\n#### ")
    folded = []
    for claim in claims:
        title, _, rest = claim.partition("\n")
        folded.append(f'<details><summary>{html.escape(title)}</summary><div class="folded">{render(rest)}</div></details>')
    return render(first) + "".join(folded)


def anchor(heading):
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def content_policy(style, script):
    digest = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"


def page(markdown, folder):
    """The page of RESULTS.md, whose figures lie relative to `folder`."""
    style, script = (PARTS / "style.css").read_text(), (PARTS / "tables.js").read_text()
    text = re.sub(r"<!--.*?-->\n?", "", markdown, flags=re.S)
    opening, *sections = re.split(r"^## ", text, flags=re.M)
    title, _, lead = opening.removeprefix("# ").partition("\n")
    sections = [(heading, rest) for heading, _, rest in (section.partition("\n") for section in sections)]
    contents = "".join(f'<li><a href="#{anchor(heading)}">{html.escape(heading)}</a></li>' for heading, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{anchor(heading)}"><h2 id="{anchor(heading)}"><a class="anchor" href="#{anchor(heading)}">{html.escape(heading)}</a></h2>'
        f"{inline_figures(fold_claims(rest), folder)}</section>"
        for heading, rest in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{content_policy(style, script)}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>{html.escape(title)}</title><style>{style}</style></head>'
        f'<body><main><h1>{html.escape(title)}</h1>{render(lead)}<nav class="contents" aria-label="Contents"><ol>{contents}</ol></nav>{body}</main><script>{script}</script></body></html>\n'
    )
