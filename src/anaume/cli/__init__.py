"""The command line: one file per group of verbs, one function per verb.

Everything that a verb needs is imported inside its function, so that `--help` and most errors appear at once.
"""

import io
import os
import platform
import sys
from typing import Annotated, NoReturn

import typer

from anaume import __version__
from anaume.cli import costs, data, evaluate, page, recipes, results, training
from anaume.errors import Incomplete, UserError, line_of, redact
from anaume.remote_code import allow_remote_code

app = typer.Typer(
    name="anaume",
    help="Pretrain, extend and evaluate ModernBERT encoders, Japanese first.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"anaume {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="let the models run code of their own, which can do anything")
    ] = False,
) -> None:
    """Options that come before the verb."""
    if trust_remote_code:
        allow_remote_code()


tokenizers = typer.Typer(
    help="Train a tokenizer, adapt a decoder's, or add a domain's words to one.", no_args_is_help=True
)
tokenizers.command("train")(data.tokenizer_train)
tokenizers.command("adapt")(data.tokenizer_adapt)
tokenizers.command("extend")(data.tokenizer_extend)

recipe_verbs = typer.Typer(
    help="Write a recipe for your corpus and hours, or copy a ready-made one.", no_args_is_help=True
)
recipe_verbs.command("new")(recipes.recipe_new)
recipe_verbs.command("list")(recipes.recipe_list)
recipe_verbs.command("copy")(recipes.recipe_copy)

app.command()(results.demo)
app.add_typer(recipe_verbs, name="recipe")
app.add_typer(tokenizers, name="tokenizer")
app.command()(data.tokens)
app.command()(data.pairs)
app.command()(data.overlap)
app.command()(training.pretrain)
app.command()(training.batch)
app.command()(training.export)
app.command()(training.contrast)
app.command()(training.finetune)
app.add_typer(evaluate.make_app(), name="eval")
app.command()(results.report)
app.command()(results.reproduce)
app.command()(page.play)
app.command()(costs.plan)
app.command()(costs.bench)
app.command()(data.verify)

# Earlier spellings of a verb that keep working.
ALIASES = {("tokens", "verify"): ["verify"]}

# A thread of torch's that waits for the others spins this many turns, then sleeps. Unset, it spins through whole time
# slices: with one core busy elsewhere, training a small model fell from 16,000 to 300 tokens a second (docs/log.md).
SPIN_COUNT = "5000"

_INTERRUPTED = 130  # 128 + SIGINT, the shells' custom


def main() -> None:
    """Run the command line.

    A user's mistake, or an error of the operating system (a full disk, no access), becomes one line on standard error
    and exit status 2.
    """
    if platform.system() == "Windows":
        _fail("Windows: not supported; expected Linux or macOS, for example Linux in WSL")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch loads
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal's encoding, such as cp932, lacks characters of texts, and a file's name need not be Unicode.
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:]
    words[:2] = ALIASES.get((words[0], words[1]), words[:2]) if len(words) > 1 else words
    try:
        status = typer.main.get_command(app).main(words, standalone_mode=False)
        if status == _INTERRUPTED:  # what typer 0.29 makes of Ctrl-C; earlier ones raise Abort
            raise KeyboardInterrupt
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(141)  # 128 + SIGPIPE: whoever read the output has seen enough of it
    except (UserError, OSError) as error:
        _fail(line_of(error), status=1 if isinstance(error, Incomplete) else 2)
    except (KeyboardInterrupt, typer.Abort):
        print("anaume: stopped", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        # A usage error of click's. Its class belongs to the copy of click inside typer, which is not imported here.
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        _fail(error.format_message())
    sys.exit(status or 0)


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"anaume: {redact(' '.join(message.split()))}", file=sys.stderr)
    _discard_output()
    sys.exit(status)


def _discard_output() -> None:
    """Close standard output if it can't be written, so that Python doesn't complain about it at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
