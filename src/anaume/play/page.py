"""Opened models and runs → the page, a tab for everything that one of them can do."""

import sys
from collections.abc import Callable

import gradio as gr

from anaume.errors import UserError
from anaume.play import blanks, curves, cuts, draw, labels, similarity
from anaume.play.models import Served

REFRESH_SECONDS, WAITING = 3, 16
BLANKS = "日本の首都は[MASK]である。"
TOKENS = "自然言語処理の研究は1950年代に始まった。"
LINES = "猫が庭で寝ている。\n庭に猫がいる。\n株価が上がった。"
PASSAGES = "東京は日本の首都である。\n京都には古い寺院が多い。\n富士山は日本で最も高い山である。"
ENTITIES = "夏目漱石は東京で生まれた。"


def make_page(served: Served) -> gr.Blocks:
    """Lay out the page. Tabs that no model can serve are left out."""
    page = gr.Blocks(title="anaume play", analytics_enabled=False)
    with page:
        gr.HTML("<h1 style='font-size:22px;margin:0'>anaume</h1>")
        with gr.Tabs(overflow_behavior="wrap"):  # on a phone, a menu would hide most of them
            _add_encoder_tabs(served)
            if taggers := served.of_kind("tokens"):

                def show(text: str) -> str:
                    return draw.entities(labels.entities(taggers, text), text)

                _tab("Entities", show, [("Text", ENTITIES, 4)])
            if classifiers := served.of_kind("classes", "labels", "similarity"):
                fields = [("Text", "とても良い本だった。", 3), ("Second text, for pairs", "", 2)]
                _tab("Classes", lambda *texts: draw.classes(labels.classes(classifiers, *texts)), fields)
            if served.runs:
                _add_curves(page, served)
        page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


def _add_encoder_tabs(served: Served) -> None:
    if fillers := served.fillers:
        fields = [("Text with [MASK]", BLANKS, 2)]
        _tab("Fill in", lambda text: draw.fillings(blanks.fill(fillers, text)), fields)
    if tokenizers := served.tokenizers:
        _tab("Tokens", lambda text: draw.cuts(cuts.cut(tokenizers, text)), [("Text", TOKENS, 3)])
    embedders, late = served.embedders, served.late
    if embedders:
        fields = [("One text a line", LINES, 5)]
        _tab("Similarity", lambda text: draw.heat_map(similarity.compare(embedders, text)), fields)
    if embedders or late:
        fields = [("Query", "日本の首都", 1), ("Passages, one a line or between blank lines", PASSAGES, 7)]
        _tab("Search", lambda *texts: draw.hits(similarity.search(embedders, *texts, late=late)), fields)


def _tab(title: str, show: Callable[..., str], fields: list[tuple[str, str, int]]) -> None:
    """Add a tab of text fields, a button and the result of `show`, which takes the texts."""
    with gr.Tab(title):
        boxes = [
            gr.Textbox(value, label=label, lines=lines, max_lines=16 if lines > 1 else 1)
            for label, value, lines in fields
        ]
        button = gr.Button("Show", variant="primary")
        result = gr.HTML()
        gr.on([button.click], answer(show), boxes, result, api_visibility="private", show_progress="minimal")


def _add_curves(page: gr.Blocks, served: Served) -> None:
    def show() -> str:
        runs = {run.folder.resolve().name: curves.progress(run) for run in served.runs}
        return draw.curves(runs)

    with gr.Tab("Runs"):
        result = gr.HTML()
        gr.on(
            [page.load, gr.Timer(REFRESH_SECONDS).tick],
            answer(show),
            None,
            result,
            api_visibility="private",
            show_progress="hidden",
        )


def answer(show: Callable[..., str]) -> Callable[..., str]:
    """Make a function whose errors are a line on the page.

    An unexpected one tells the page nothing of this machine, and the terminal only its kind: its message may hold a
    text of the visitor.
    """

    def safely(*texts: str) -> str:
        try:
            return show(*texts)
        except UserError as error:
            return draw.error(str(error))
        except Exception as error:
            print(f"anaume: a tab failed: {type(error).__name__}", file=sys.stderr, flush=True)
            return draw.error("This text could not be computed; please try another one.")

    return safely
