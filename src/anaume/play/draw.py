"""Results of the tabs → HTML. The rule: every text, a model's labels too, passes through `safe`."""

from collections.abc import Mapping, Sequence
from html import escape

from anaume.evals.fill_mask import Prediction
from anaume.finetune.examples import Entity
from anaume.play.curves import Points, Progress
from anaume.play.cuts import Cut, Token
from anaume.play.similarity import Hit, Similarities

_COLOURS = 6
_LINES = ("#0d9488", "#ea580c", "#7c3aed", "#2563eb", "#be185d")
# Templates of gradio's HTML component, control characters, and marks that turn the direction of the text around them.
_SPECIAL = {ord(c): f"&#{ord(c)};" for c in "${}`"}
_SPECIAL |= {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {127: "␡"}
_SPECIAL |= {
    code: f"‹U+{code:04X}›" for code in (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
STYLE = """
.gradio-container { width: 100% !important; min-width: 0 !important; max-width: 1080px !important;
  margin: 0 auto !important; }
.gradio-container main { width: 100%; min-width: 0; max-width: 100%; }
.gradio-container .tabs, .gradio-container .tabitem, .gradio-container .column { min-width: 0 !important; }
.an-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 14px; }
.an-card { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 14px 16px; min-width: 0;
  background: var(--background-fill-primary); overflow-x: auto; }
.an-card h3 { margin: 0 0 10px; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
.an-note { opacity: .7; font-size: 13px; margin: 0 0 8px; }
.an-error { border-left: 3px solid #dc2626; padding: 8px 12px; margin: 0; overflow-wrap: anywhere; }
.an-row { display: grid; grid-template-columns: minmax(0, 1fr) 52px; gap: 2px 10px; margin: 6px 0; font-size: 15px; }
.an-row span { overflow-wrap: anywhere; }
.an-row b { font-weight: 500; text-align: right; font-variant-numeric: tabular-nums; }
.an-bar { grid-column: 1 / -1; height: 4px; border-radius: 2px; background: var(--border-color-primary); }
.an-bar i { display: block; height: 100%; border-radius: 2px; background: #0d9488; }
.an-text { line-height: 2.1; overflow-wrap: anywhere; white-space: pre-wrap; }
.an-text mark { color: inherit; border-radius: 4px; padding: 3px 2px; margin: 0 1px; }
.an-text mark.unknown { outline: 2px dashed #dc2626; }
.an-text small { opacity: .75; margin-left: 4px; font-size: 11px; }
.an-c0 { background: #38bdf855; } .an-c1 { background: #fbbf2455; } .an-c2 { background: #34d39955; }
.an-c3 { background: #f472b655; } .an-c4 { background: #a78bfa55; } .an-c5 { background: #fb923c55; }
.gradio-container table.an-heat { border: 0; }
.an-heat { border-collapse: separate; border-spacing: 2px; font-size: 12px; font-variant-numeric: tabular-nums; }
.an-heat td, .an-heat th { padding: 5px 6px; border: 0; text-align: center; border-radius: 4px; min-width: 34px; }
.an-key { margin: 10px 0 0; padding-left: 24px; font-size: 13px; overflow-wrap: anywhere; list-style: decimal; }
.an-hits { padding-left: 22px; margin: 0; list-style: decimal; } .an-hits li { margin: 8px 0; overflow-wrap: anywhere; }
.an-hits b { font-weight: 500; opacity: .65; margin-left: 6px; font-size: 12px; }
.an-card svg { width: 100%; height: auto; display: block; }
@media (max-width: 640px) { .an-card svg { font-size: 22px; } }
"""


def safe(text: str) -> str:
    """Return HTML that shows a text as it is, with controls and marks of direction made visible."""
    return escape(text).translate(_SPECIAL)


def error(message: str) -> str:
    """A line that says what is wrong."""
    return f'<p class="an-error" role="alert">{safe(message[:300])}</p>'


def _cards(bodies: Mapping[str, str]) -> str:
    cards = (f'<section class="an-card"><h3>{safe(name)}</h3>{body}</section>' for name, body in bodies.items())
    return f'<div class="an-cards">{"".join(cards)}</div>'


def _bars(rows: Sequence[tuple[str, float]]) -> str:
    return "".join(
        f'<div class="an-row"><span>{safe(name)}</span><b>{value:.1%}</b>'
        f'<div class="an-bar"><i style="width:{100 * value:.2f}%"></i></div></div>'
        for name, value in rows
    )


def fillings(models: Mapping[str, Sequence[Prediction]]) -> str:
    """The fillings of each model with their probabilities."""
    return _cards({name: _bars([(p.text, p.probability) for p in rows]) for name, rows in models.items()})


def cuts(models: Mapping[str, Cut]) -> str:
    """The coloured tokens of each tokenizer with their number."""
    return _cards({name: _cut(cut) for name, cut in models.items()})


def _cut(cut: Cut) -> str:
    marks = "".join(_token(token, number % _COLOURS) for number, token in enumerate(cut.tokens))
    count = f"{len(cut.tokens):,} tokens, {cut.per_character:.2f} per character"
    return f'<p class="an-note">{count}</p><div class="an-text">{marks}</div>'


def _token(token: Token, colour: int) -> str:
    unknown = " unknown" if token.unknown else ""
    shown = safe(token.text) if token.text.strip() else safe(token.piece)
    return f'<mark class="an-c{colour}{unknown}" title="{safe(token.piece)}, id {token.id}">{shown}</mark>'


def heat_map(similarities: Similarities) -> str:
    """A table of cosines for each model, and the numbered lines."""
    numbers = range(1, len(similarities.lines) + 1)
    head = "".join(f"<th>{number}</th>" for number in numbers)
    bodies = {
        name: f'<table class="an-heat"><tr><th></th>{head}</tr>'
        + "".join(
            f"<tr><th>{i}</th>" + "".join(_cell(float(value)) for value in row) + "</tr>"
            for i, row in zip(numbers, cosines, strict=True)
        )
        + "</table>"
        for name, cosines in similarities.cosines.items()
    }
    lines = "".join(f"<li>{safe(line)}</li>" for line in similarities.lines)
    return _cards(bodies) + f'<ol class="an-key">{lines}</ol>'


def _cell(cosine: float) -> str:
    strength = round(85 * max(0.0, cosine) ** 2)
    return f'<td style="background:color-mix(in srgb, #0d9488 {strength}%, transparent)">{cosine:.2f}</td>'


def hits(rankings: Mapping[str, Sequence[Hit]]) -> str:
    """The best passages of each ranking with their scores."""
    rows = {
        name: "".join(f"<li>{safe(hit.passage)}<b>{hit.score:.3f}</b></li>" for hit in found)
        for name, found in rankings.items()
    }
    return _cards({name: f'<ol class="an-hits">{items}</ol>' for name, items in rows.items()})


def entities(models: Mapping[str, Sequence[Entity]], text: str) -> str:
    """The text with its entities marked, for each model."""
    return _cards({name: _marked(text, predictions) for name, predictions in models.items()})


def _marked(text: str, predictions: Sequence[Entity]) -> str:
    colours = {kind: number % _COLOURS for number, kind in enumerate(sorted({entity.type for entity in predictions}))}
    parts, end = [], 0
    for entity in predictions:
        inside = f"{safe(text[entity.start : entity.end])}<small>{safe(entity.type)}</small>"
        parts.append(f'{safe(text[end : entity.start])}<mark class="an-c{colours[entity.type]}">{inside}</mark>')
        end = entity.end
    note = "" if predictions else '<p class="an-note">No entities.</p>'
    return f'{note}<div class="an-text">{"".join(parts)}{safe(text[end:])}</div>'


def classes(models: Mapping[str, Mapping[str, float]]) -> str:
    """The classes of each model with their probabilities; a regression's value."""
    return _cards(
        {
            name: f'<p class="an-text">{rows["value"]:.3f}</p>' if list(rows) == ["value"] else _bars([*rows.items()])
            for name, rows in models.items()
        }
    )


def curves(runs: Mapping[str, Progress | None]) -> str:
    """The losses of each run."""
    waiting = '<p class="an-note">No line of metrics yet.</p>'
    return _cards({name: _curve(progress) if progress else waiting for name, progress in runs.items()})


def _curve(progress: Progress) -> str:
    points = [point for line in progress.losses.values() for point in line] or [(0.0, 0.0)]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))

    def line(values: Points, colour: str) -> str:
        path = " ".join(
            f"{48 + 540 * (x - left) / (right - left or 1):.1f},{190 - 170 * (y - low) / (high - low or 1):.1f}"
            for x, y in values
        )
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'

    texts = ((44, 24, "end", f"{high:.2f}"), (44, 194, "end", f"{low:.2f}"), (588, 214, "end", f"{right:,.0f} steps"))
    labels = "".join(f'<text x="{x}" y="{y}" text-anchor="{a}">{t}</text>' for x, y, a, t in texts)
    colours = {title: _LINES[number % len(_LINES)] for number, title in enumerate(progress.losses)}
    key = ", ".join(f'<span style="color:{colour}">{safe(title)}</span>' for title, colour in colours.items())
    lines = "".join(line(values, colours[title]) for title, values in progress.losses.items())
    return (
        f'<p class="an-note">{safe(progress.stage)}, step {progress.step:,}, loss {progress.loss:.3f} · {key}</p>'
        '<svg viewBox="0 0 600 220" font-size="12" fill="currentColor" role="img" aria-label="loss by step">'
        f'<path d="M48 20V190H588" fill="none" stroke="currentColor" opacity=".3"/>{labels}{lines}</svg>'
    )
