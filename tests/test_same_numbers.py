"""Each number of a leaderboard is the same in every output, rounded by one rule where rounded."""

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from arena.board.views import view_html
from evalcore.board_view import Asked
from evalcore.records import Comparison, Efficiency, ModelSpec
from evalcore.spreadsheet import Cell
from evalcore.store import Store, open_store
from leaderboards.asking import board_request
from leaderboards.cells import cells
from leaderboards.flat import flat_rows, mlflow_name
from leaderboards.markdown import plain
from leaderboards.mirror import metric_keys
from leaderboards.reading import reader
from leaderboards.records import Leaderboard
from leaderboards.standings import standings
from leaderboards.tracking import MlflowClient, sync
from reports.evidence import collect
from reports.markdown import markdown_report
from reports.page import html_report
from reports.site.writing import write_site
from reports.tables import csv_report

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

REQUEST = board_request(reference="beta")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, add_results) -> Iterator[Store]:
    rng = np.random.default_rng(3)
    models = [
        ModelSpec(name=name, backend="hf", weights=name, sha256=name[:1] * 64)
        for name in ("alpha", "beta", "gamma|`x`", "=delta")
    ]
    with open_store(tmp_path_factory.mktemp("same") / "out") as store:
        for place, model in enumerate(models):
            took = Efficiency(
                decode_tokens=700,
                decode_s=1.7 + place,
                prefill_tokens=90,
                prefill_s=0.7,
                peak_memory_bytes=10**9 + place,
                size_on_disk_bytes=10**8 + place,
            )
            for task, chance in (("sums", 0.8), ("lists", 0.6)):
                values = (rng.random(37) < chance - 0.12 * place).astype(float).tolist()
                add_results(store, model, task, values, efficiency=took)
            losses = (2.0 + 0.1 * place + rng.random(37) / 7).tolist()
            add_results(
                store, model, "text", losses, metric="loss", higher_is_better=False, efficiency=took
            )
        store.add_comparisons(_votes(models, rng))
        yield store


def _votes(models: list[ModelSpec], rng: np.random.Generator) -> Iterator[Comparison]:
    for n in range(300):
        a, b = rng.choice(len(models), 2, replace=False)
        winner = (
            "tie" if n % 9 == 0 else "model_a" if rng.random() < 0.5 + 0.1 * (b - a) else "model_b"
        )
        yield Comparison(
            id=f"c{n}",
            example_id=f"e{n % 23}",
            model_a=models[a].fingerprint,
            model_b=models[b].fingerprint,
            winner=winner,
            rater="judge" if n % 3 == 0 else f"r{n % 7}",
            rater_kind="judge" if n % 3 == 0 else "human",
            swapped=bool(n % 2),
            created_utc="2026-01-01T00:00:00Z",
        )


@pytest.fixture(scope="module")
def board(store: Store) -> Leaderboard:
    return standings(store, REQUEST)


@dataclass
class Rows(HTMLParser):
    """Numbers of each model's row in a page: exact value and text by name."""

    rows: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._model = self._name = self._value = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "tr":
            self._model = given.get("data-model", "")
        if self._model and "data-number" in given:
            self._name, self._value = given["data-number"], given["data-value"]
            self.rows.setdefault(self._model, {})[self._name] = (self._value, "")
            if "data-low" in given:
                self.rows[self._model] |= {
                    f"{self._name}_{end}": (given[f"data-{end}"], "") for end in ("low", "high")
                }

    def handle_data(self, data):
        if self._name:
            value, text = self.rows[self._model][self._name]
            self.rows[self._model][self._name] = (value, text + data)

    def handle_endtag(self, tag):
        if tag in ("td", "dd"):
            self._name = ""


def numbers(row: dict[str, Cell]) -> dict[str, float]:
    """The numeric values of a flat row."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def test_csv_holds_every_number_exactly(board):
    read = list(csv.DictReader(io.StringIO(csv_report(board))))
    for row, line in zip(flat_rows(board), read, strict=True):
        assert {name: float(line[name]) for name in numbers(row)} == numbers(row)
        assert all(line[name] == "" for name, value in row.items() if value is None)


def test_json_holds_every_number_exactly(board, store, parity):
    workspace = Path(store.where)
    _code, out, _err = parity("leaderboard", "-w", workspace, "--reference", "beta", "--json")
    table = json.loads(out)["leaderboard"]["table"]
    assert [numbers(row) for row in table] == [numbers(row) for row in flat_rows(board)]


@pytest.fixture(scope="module")
def pages(board, store, tmp_path_factory) -> dict[str, str]:
    evidence = collect(board, store)
    folder = tmp_path_factory.mktemp("site")
    write_site(evidence, store, folder)
    site = (folder / "index.html").read_text(encoding="utf-8")
    return {"report": html_report(evidence, store), "site": site}


@pytest.mark.parametrize("output", ["report", "site"])
def test_page_holds_each_number_exactly_and_shows_it_rounded_as_elsewhere(board, pages, output):
    parser = Rows()
    parser.feed(pages[output])
    shown_elsewhere = cells(board)
    for row, texts in zip(flat_rows(board), shown_elsewhere.rows, strict=True):
        found, exact = parser.rows[str(row["fingerprint"])], numbers(row)
        assert {"rank", "rating", "rating_low", "human_rating", "judge_rating"} <= found.keys()
        assert {"score_win_rate", "human_win_rate", "judge_win_rate"} <= found.keys()
        assert {column.key for column in board.columns} <= found.keys()
        for name, (value, text) in found.items():
            assert (float(value) if value else None) == exact.get(name), name
            if name not in ("rank", "rating_low", "rating_high"):
                wanted = [one.strip().rstrip("*").strip() for one in texts]
                assert " ".join(text.split()) in [" ".join(one.split()) for one in wanted], name


class Cells(HTMLParser):
    """Cells of the served page's table: what it sorts by, and what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[list[str]]] = []
        self._is_cell = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append([dict(attrs)["data-key"], ""])
            self._is_cell = True

    def handle_data(self, data):
        if self._is_cell:
            self.rows[-1][-1][1] += data

    def handle_endtag(self, tag):
        self._is_cell = self._is_cell and tag != "td"


def test_served_page_holds_the_numbers_and_shows_the_cells(board, store):
    page = Cells()
    view = reader(store, REQUEST)(Asked())
    page.feed(view_html(view))
    shown = cells(board)
    rows = [row for row in page.rows if row]
    assert [[text for _key, text in row] for row in rows] == [
        [text.strip() for text in row] for row in shown.rows
    ]
    for row, found in zip(flat_rows(board), rows, strict=True):
        exact = set(numbers(row).values())
        keys = [float(key) for key, _text in found if key and key.replace(".", "").isdigit()]
        assert {row["rank"], row["rating"], row["human_rating"], row["judge_rating"]} <= {*keys}
        assert {row[column.key] for column in board.columns} <= {*keys}
        assert {*keys} <= exact
    for interval, row in zip(view.intervals, flat_rows(board), strict=True):
        ends = [row[name] for name in ("rating", "rating_low", "rating_high")]
        assert [interval.value, interval.low, interval.high] == ends


def test_data_of_the_ratings_figure_are_the_boards_numbers(board, store):
    from reports.figures.all import figures

    (figure,) = (f for f in figures(collect(board, store)) if f.name == "ratings")
    for row, drawn in zip(flat_rows(board), figure.rows, strict=True):
        shared = (
            "rank",
            "rank_low",
            "rank_high",
            "rating",
            "rating_low",
            "rating_high",
            "rating_n",
        )
        assert [row[name] for name in shared] == [drawn[name] for name in shared]


def test_markdown_has_the_cells_of_the_terminal(board):
    lines = markdown_report(board).splitlines()
    for texts in cells(board).rows:
        assert f"| {' | '.join(plain(text.strip()) for text in texts)} |" in lines


def test_win_rates_of_a_figure_are_those_of_the_comparison(board, store):
    from evalcore.stats.vote_source import named_comparisons
    from evalcore.stats.win_rate import PairVotes, win_rate
    from evalcore.votes import Votes
    from reports.figures.all import figures

    (figure,) = (f for f in figures(collect(board, store)) if f.name == "wins-people")
    votes = Votes.from_comparisons(named_comparisons(store, ("human",)))
    for row in figure.rows:
        pair = PairVotes.from_votes(votes, str(row["model"]), str(row["against"]))
        found = win_rate(pair).estimate
        assert row["win_rate"] == pytest.approx(found.value, abs=1e-12)
        assert row["win_rate_low"] == pytest.approx(found.low, abs=1e-12)


def test_mlflow_holds_every_number_that_it_has_exactly(board, store, tmp_path, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sync(board, store, tracking_uri=uri, artifacts=tmp_path / "files")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("parity/main").experiment_id
    runs = client.search_runs([experiment], "tags.`parity.kind` = 'leaderboard'")
    rows = {row["fingerprint"]: numbers(row) for row in flat_rows(board)}
    keys = metric_keys([column.key for column in board.columns])
    assert len(runs) == len(rows)
    for run in runs:
        exact = rows[run.data.tags["parity.variant_hash"]]
        expected = {keys.get(name, mlflow_name(name)): value for name, value in exact.items()}
        shared = expected.keys() & run.data.metrics.keys()
        assert {"rank", "rank_lo", "rating", "rating_lo", "rating_hi", *keys.values()} <= shared
        assert {name: run.data.metrics[name] for name in shared} == {n: expected[n] for n in shared}
        assert not any(math.isnan(value) for value in run.data.metrics.values())
