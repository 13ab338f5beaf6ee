"""AlpacaEval: what models answered, and what its judges said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from evalcore.exchange.identity import imported_answers, imported_model
from evalcore.exchange.prompts import Prompts
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, first_line, read_rows
from evalcore.judges.foreign.alpaca_eval import read_alpaca_eval
from evalcore.judges.foreign.importing import verdict_parcel
from evalcore.judges.foreign.reading import foreign_file
from evalcore.records import Example

__all__ = ["read_alpaca_eval_files"]

_AT_ONCE = 2000


def read_alpaca_eval_files(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read ``model_outputs.json`` and ``annotations.json``, or their rows as jsonl or parquet.

    Raises
    ------
    VotesError
        Naming the file, the row and what is permitted.
    """
    for path in paths:
        if "preference" not in first_line(path).fields:
            yield from _outputs(path, context)
        else:
            foreign = foreign_file("alpaca_eval", path, read_alpaca_eval(path, ()))
            yield verdict_parcel(foreign, source=path, now=context.now)


def _outputs(path: Path, context: ImportContext) -> Iterator[Parcel]:
    rows = read_rows(path)
    while some := list(islice(rows, _AT_ONCE)):
        answered = [_output(row) for row in some]
        yield Parcel(
            source=path,
            n_read=len(some),
            models=[
                imported_model(name) for name in dict.fromkeys(name for _, name, _ in answered)
            ],
            examples=list({example.id: example for example, _, _ in answered}.values()),
            answers=[
                answer
                for example, model, text in answered
                for answer in imported_answers(example, model, [text], created_utc=context.now)
            ],
        )


def _output(row: Row) -> tuple[Example, str, str]:
    row.needs("instruction", "output", "generator")
    dataset = row.optional_text("dataset")
    example = Prompts.of_text(row.text("instruction"), category=dataset, where=row.where)
    return example, row.text("generator"), str(row.fields["output"] or "")
