import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalcore.records import Comparison, Efficiency, Estimate, ModelSpec
from evalcore.store import Store, open_store
from leaderboards.request import BoardRequest
from leaderboards.standings import standings
from reports.evidence import collect
from reports.figures.all import figures, write_figures
from reports.figures.drawing import Dot, Drawing, Figure, Words
from reports.figures.pareto import pareto_front
from reports.figures.rank_chances import rank_figure
from reports.figures.svg import inline_svg, svg_file

NAME = 'x"><script>alert(1)</script>\u202e\x00$\\frac{'


def spec(name: str) -> ModelSpec:
    return ModelSpec(name=name, backend="hf", weights=name, sha256=name[:1] * 64, dtype="float32")


@pytest.fixture
def store(tmp_path: Path, add_results) -> Iterator[Store]:
    rng = np.random.default_rng(0)
    models = [spec(name) for name in ("alpha", "beta", NAME)]
    with open_store(tmp_path / "out") as store:
        for place, model in enumerate(models):
            took = Efficiency(
                decode_tokens=90 * (place + 1), decode_s=1.0, size_on_disk_bytes=10**9 - place
            )
            for task in ("sums", "lists", "facts"):
                values = (rng.random(40) < 0.8 - 0.2 * place).astype(float).tolist()
                add_results(store, model, task, values, efficiency=took)
        store.add_comparisons(votes(models))
        yield store


def votes(models: list[ModelSpec]) -> Iterator[Comparison]:
    for place in range(60):
        a, b = place % 3, (place + 1) % 3
        yield Comparison(
            id=f"v{place}",
            example_id=f"e{place % 7}",
            model_a=models[a].fingerprint,
            model_b=models[b].fingerprint,
            winner="tie" if place % 5 == 0 else "model_a" if a < b else "model_b",
            rater=f"r{place % 4}",
            rater_kind="human" if place % 2 else "judge",
            swapped=False,
            created_utc=f"2026-01-01T{place % 24:02}:00:00Z",
        )


@pytest.fixture
def made(store: Store) -> list[Figure]:
    return figures(collect(standings(store), store))


def test_every_figure_with_numbers_is_made(made):
    names = [figure.name for figure in made]
    assert names == sorted(set(names), key=names.index)
    assert {"ratings", "rank-chances", "wins-people", "wins-judges", "wins-tasks"} <= set(names)
    assert {"radar-tasks", "quality-size", "quality-speed", "votes-over-time"} <= set(names)


def test_figures_are_told_in_words_and_hold_hostile_names_as_text(made):
    for figure in made:
        tree = ElementTree.fromstring(svg_file(figure))
        tags = [element.tag.split("}")[1] for element in tree.iter()]
        assert tags[1:3] == ["title", "desc"]
        assert "script" not in tags
        text = "".join(tree.itertext())
        assert figure.description[:10] in text
        assert "\x00" not in text
        assert "\u202e" not in text


def test_data_of_a_figure_are_its_numbers_and_hash_to_the_same(made):
    ratings = next(figure for figure in made if figure.name == "ratings")
    rows = list(csv.DictReader(io.StringIO(ratings.csv)))
    assert [float(row["rating"]) for row in rows] == [row["rating"] for row in ratings.rows]
    assert replace(ratings, title="other").data_hash == ratings.data_hash
    assert replace(ratings, rows=ratings.rows[:1]).data_hash != ratings.data_hash


def test_probabilities_of_ranks_sum_to_one(made):
    (figure,) = (figure for figure in made if figure.name == "rank-chances")
    for row in figure.rows:
        assert sum(row[f"rank {rank}"] for rank in (1, 2, 3)) == pytest.approx(1.0)


def test_board_by_people_with_a_model_that_has_no_task_is_drawn(store):
    newcomer = spec("newcomer")
    store.add_model(newcomer)
    store.add_comparisons(
        replace(vote, id=f"new-{vote.id}", model_b=newcomer.fingerprint)
        for vote in votes([spec("alpha"), spec("beta"), spec(NAME)])
    )
    board = standings(store, BoardRequest(by="human"))
    assert any(standing.model.name == "newcomer" for standing in board.ranked)
    names = [figure.name for figure in figures(collect(board, store))]
    assert "ratings" in names
    assert "rank-chances" not in names


def test_win_rates_count_ties_half(made):
    (figure,) = (figure for figure in made if figure.name == "wins-people")
    row = next(row for row in figure.rows if {row["model"], row["against"]} == {"alpha", "beta"})
    assert row["win_rate"] == pytest.approx(0.9)
    assert row["win_rate_n"] == 10


def test_files_are_written_once_for_each_format_and_alike_each_time(made, tmp_path):
    first = {path.name: path.read_bytes() for path in write_figures(made, tmp_path / "a")}
    again = {path.name: path.read_bytes() for path in write_figures(made, tmp_path / "b")}
    assert first == again
    assert len(first) == 3 * len(made)
    assert all(first[f"{figure.name}.png"].startswith(b"\x89PNG") for figure in made)


def test_drawing_is_light_and_dark_and_escapes_what_it_is_given():
    figure = Figure(
        name="f",
        section="ratings",
        title="<b>",
        caption="",
        description="&",
        drawing=Drawing(
            width=10, height=10, marks=(Words(x=0, y=0, text="</svg>"), Dot(x=1, y=1, what='"'))
        ),
        rows=({"a": 1},),
    )
    assert "</svg>" not in inline_svg(figure).removesuffix("</svg>")
    assert "prefers-color-scheme:dark" in svg_file(figure)


def test_front_keeps_equal_points_and_drops_what_is_beaten():
    points = [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 2.0), (1.0, 0.5)]
    front = pareto_front(points, less_is_better=True, higher_is_better=True)
    assert sorted(front) == [0, 1, 3]


def test_loss_against_size_has_a_figure_where_sizes_are_known(tmp_path, add_results):
    with open_store(tmp_path / "sizes") as store:
        for place in range(7):
            n = 10 ** (6 + place)
            model = replace(spec(f"{place}m"), n_parameters=n, training_tokens=20 * n)
            losses = [3.0 * 10 ** (-0.05 * place) + 0.01 * n for n in range(-5, 6)]
            add_results(store, model, "text", losses, metric="loss", higher_is_better=False)
        made = figures(collect(standings(store), store))
    by_size, by_compute = (figure for figure in made if figure.section == "scaling")
    assert by_size.rows[0]["exponent"] == pytest.approx(0.05, abs=0.002)
    assert by_size.rows[0]["exponent_low"] < 0.05 < by_size.rows[0]["exponent_high"]
    # At 20 tokens a weight the compute grows with the square of the size: C = 120 N².
    assert by_compute.rows[0]["training compute"] == pytest.approx(120 * 10**12)
    assert by_compute.rows[0]["exponent"] == pytest.approx(by_size.rows[0]["exponent"] / 2)


def test_command_writes_figures(store, tmp_path, parity):
    code, out, _err = parity(
        "report", "-w", tmp_path / "out", "--figures", tmp_path / "figures", "--json"
    )
    written = json.loads(out)["files"]
    assert code == 0
    assert all(Path(name).stat().st_size > 0 for name in written)


def test_figures_into_a_file_is_one_line(tmp_path, parity):
    (tmp_path / "file").write_text("mine")
    code, _out, err = parity("report", "-w", tmp_path / "out", "--figures", tmp_path / "file")
    assert code == 2
    assert f"--figures must be a folder that can be made; got {tmp_path / 'file'}" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_names_of_dots_among_whiskers_all_find_a_place():
    from reports.figures.plot import labels_beside

    dots = [(130.0, 220.0), (304.0, 150.0), (406.0, 165.0), (478.0, 125.0)]
    names = ["tiny-llama+instruct+math", "tiny-llama nf4 (bf16)", "tiny-llama (bf16)", "tiny-llama"]
    whiskers = [(x - 2, y - 40, x + 2, y + 40) for x, y in dots]
    labels = labels_beside(dots, names, area=(64, 0, 560, 304), taken=whiskers)
    assert len(labels) == 4
    assert len({(label.x, label.y) for label in labels}) == 4


def test_name_stands_nearest_to_its_own_dot_or_not_at_all():
    from reports.figures.plot import labels_beside

    crowd = [(200.0 + 14 * (n % 6), 150.0 + 16 * (n // 6)) for n in range(30)]
    alone = (500.0, 40.0)
    dots, names = [*crowd, alone], [*(f"model-{n:02}" for n in range(30)), "alone"]
    labels = {label.text: label for label in labels_beside(dots, names, area=(0, 0, 560, 350))}
    assert "alone" in labels
    assert 0 < len(labels) < len(names)
    for name, (x, y) in zip(names, dots, strict=True):
        if name in labels:
            assert abs(labels[name].y - y) < 30
            assert abs(labels[name].x - x) < 30


def test_one_estimate_alone_is_drawn():
    from reports.figures.intervals import Bar, interval_drawing

    nothing = Estimate(
        value=0.5, low=float("nan"), high=float("nan"), confidence_level=0.95, method="", n=1
    )
    drawing = interval_drawing([Bar(name="only", estimate=nothing)], places=2)
    assert any(isinstance(mark, Dot) for mark in drawing.marks)


def test_models_with_the_same_answers_have_no_figure_of_rank_chances(tmp_path, add_results):
    with open_store(tmp_path) as store:
        for name in ("a", "b", "c"):
            spec = ModelSpec(name=name, backend="hf", weights=name, sha256=name)
            add_results(store, spec, "t", [1.0, 0.0, 1.0, 0.0])
        evidence = collect(standings(store), store)
    assert rank_figure(evidence) is None
