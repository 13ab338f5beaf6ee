"""Commands on votes: rate, compare and plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json

if TYPE_CHECKING:
    from evalcore.stats.planning import VoteModel

__all__ = ["compare", "plan", "rate"]

VotesArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="VOTES", help="jsonl, csv or parquet file; without it, the workspace's votes."
    ),
]
RatersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--raters",
        metavar="KIND",
        help="Only votes of this kind: human, judge, rule or simulated; repeatable. "
        "Without it, all but simulated ones.",
    ),
]
MarginOption = Annotated[
    float,
    typer.Option(help="Half-width of parity around a win rate of 0.5: 0.05 is 45 % to 55 %."),
]
AlphaOption = Annotated[float, typer.Option(help="Level of each test.")]


def rate(
    votes: VotesArgument = None,
    method: Annotated[
        str, typer.Option(help="bradley-terry (ties as half wins), davidson, or elo (online).")
    ] = "bradley-terry",
    anchor: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model that is put at the centre; else the mean."),
    ] = None,
    centre: Annotated[float, typer.Option(help="Rating of the anchor or the mean.")] = 1000.0,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    both_bad: Annotated[
        str, typer.Option(help="Count votes for neither answer as tie, or drop them.")
    ] = "tie",
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BY",
            help="rater, example or none; repeatable. Without it, both where they are given.",
        ),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FEATURE",
            help="Hold this feature of style equal; the file has FEATURE_a and FEATURE_b. "
            "Repeatable.",
        ),
    ] = None,
    simultaneous_ranks: Annotated[
        bool,
        typer.Option(
            "--simultaneous-ranks",
            help="Wider rank intervals: each holds its model's rank with the level's probability.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look for raters and votes that should be looked at.")
    ] = False,
    raters: RatersOption = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rate models by votes: Bradley-Terry ratings, intervals and ranks."""
    from evalcore.rater_kinds import rater_kinds
    from evalcore.stats.quality import check_votes
    from evalcore.stats.quality_report import quality_form, quality_words
    from evalcore.stats.rating_report import RateRequest, rate_form, rating_table
    from evalcore.stats.vote_source import load_votes

    request = RateRequest.checked(
        method=method,
        anchor=anchor,
        centre=centre,
        level=level,
        both_bad=both_bad,
        cluster=cluster,
        style=style,
        simultaneous_ranks=simultaneous_ranks,
    )
    loaded = load_votes(votes, workspace, store, kinds=rater_kinds(raters), features=style or ())
    form = rate_form(loaded, request)
    quality = check_votes(loaded, request.options) if check else None
    if as_json:
        print_json(form if quality is None else {**form, "checks": quality_form(quality)})
        return
    from rich.console import Console

    Console().print(rating_table(form))
    for row in form.get("style", ()):
        ends = "no interval"
        if row["low"] is not None:
            ends = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"  {row['feature']}: {row['coefficient']:+.3f} log-odds ({ends})")
    for line in quality_words(quality) if quality is not None else ():
        print(f"check: {line}")
    for warning in form["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)


def compare(
    model_a: Annotated[str, typer.Argument(metavar="A", help="Model, as the votes name it.")],
    model_b: Annotated[str, typer.Argument(metavar="B", help="The model to compare it with.")],
    votes: VotesArgument = None,
    margin: MarginOption = 0.05,
    alpha: AlphaOption = 0.05,
    method: Annotated[
        str,
        typer.Option(
            help="score (tests once, when all votes are in), bayes (credible interval), or for a "
            "running study anytime (may be looked at after every vote) or anytime-bernstein (the "
            "same for any number of votes, twice as many needed)."
        ),
    ] = "score",
    raters: RatersOption = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models: win rate, difference, parity within a margin, and a verdict."""
    from evalcore.rater_kinds import rater_kinds
    from evalcore.stats.comparison import CompareRequest, compare_models
    from evalcore.stats.vote_source import load_votes

    request = CompareRequest.checked(margin=margin, alpha=alpha, method=method)
    loaded = load_votes(votes, workspace, store, kinds=rater_kinds(raters))
    report = compare_models(loaded, (model_a, model_b), request)
    if as_json:
        print_json(report.form)
    else:
        print("\n".join(report.lines()))


def plan(
    margin: MarginOption = 0.05,
    power: Annotated[float, typer.Option(help="Probability of showing parity.")] = 0.8,
    alpha: AlphaOption = 0.05,
    win_rate: Annotated[float, typer.Option(help="True win rate, ties counting half.")] = 0.5,
    ties: Annotated[
        float, typer.Option("--ties", "--tie-share", help="Expected share of ties.")
    ] = 0.0,
    prompts: Annotated[
        int | None, typer.Option(min=1, help="Prompts; without it, one for each vote.")
    ] = None,
    raters: Annotated[
        int | None, typer.Option(min=1, help="Raters; without it, one for each vote.")
    ] = None,
    prompt_share: Annotated[
        float, typer.Option(help="Share of variance common to votes on one prompt.")
    ] = 0.17,
    rater_share: Annotated[
        float, typer.Option(help="Share of variance common to votes by one rater.")
    ] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Say how many votes, prompts and raters it takes to show parity."""
    from evalcore.stats.planning import VoteModel, prompts_needed, votes_needed

    model = VoteModel(
        win_rate=win_rate, tie_share=ties, prompt_share=prompt_share, rater_share=rater_share
    )
    n_votes = votes_needed(
        model, margin=margin, power=power, n_prompts=prompts, n_raters=raters, alpha=alpha
    )
    form = {
        "margin": margin,
        "power": power,
        "alpha": alpha,
        "win_rate": win_rate,
        "tie_share": ties,
        "prompt_share": prompt_share,
        "rater_share": rater_share,
        "n_prompts": prompts,
        "n_raters": raters,
        "n_votes": n_votes,
        "n_prompts_at_one_vote_each": prompts_needed(
            model, margin=margin, power=power, n_raters=raters, alpha=alpha
        ),
        "more_votes": _more_votes(n_votes, prompts, raters, model=model, alpha=alpha, power=power),
    }
    if as_json:
        print_json(form)
    else:
        _print_plan(form)


def _more_votes(
    n_votes: int | None,
    prompts: int | None,
    raters: int | None,
    *,
    model: VoteModel,
    alpha: float,
    power: float,
) -> list[dict[str, Any]]:
    """Show what margin ever more votes on the same prompts by the same raters would reach."""
    from evalcore.stats.planning import Study, reachable_margin

    first = n_votes or max(prompts or 0, raters or 0, 100)
    most = prompts * raters if prompts and raters else 100 * first
    sizes = dict.fromkeys(min(first * factor, most) for factor in (1, 2, 5, 10, 100))
    studies = [Study(n_votes=size, n_prompts=prompts, n_raters=raters) for size in sizes]
    return [
        {
            "n_votes": study.n_votes,
            "smallest_margin": reachable_margin(study, model, power=power, alpha=alpha),
        }
        for study in studies
    ]


def _print_plan(form: dict[str, Any]) -> None:
    where = ", ".join(
        f"{form[key]} {noun}" if form[key] else f"a {noun[:-1]} for each vote"
        for key, noun in (("n_prompts", "prompts"), ("n_raters", "raters"))
    )
    goal = f"parity within ±{form['margin']:g} with {100 * form['power']:g} % power"
    if form["n_votes"] is None:
        print(f"{goal}: no number of votes is enough with {where}")
    else:
        print(f"{goal}: {form['n_votes']} votes with {where}")
    needed = form["n_prompts_at_one_vote_each"]
    print(f"  prompts if each has one vote: {needed or 'no number is enough with these raters'}")
    for row in form["more_votes"]:
        margin = row["smallest_margin"]
        print(f"  {row['n_votes']:>9} votes: ", end="")
        print(f"±{margin:.4f}" if margin is not None else "parity can't be shown")
