"""The command ``parity judge``."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalcore.commandline import (
    JsonOption,
    StoreOption,
    WorkspaceOption,
    print_json,
    print_table,
)
from evalcore.errors import IncompleteError, InputError, ModelError
from runners.commandline import (
    BatchSizeOption,
    EngineOption,
    ExecutorOption,
    MemoryOption,
    executor_opener,
    resolved_models,
)

if TYPE_CHECKING:
    from evalcore.judges.ledger import Estimated
    from evalcore.judges.records import Judge, Protocol
    from evalcore.judges.rules import Rule
    from evalcore.judges.summary import JudgingResult
    from evalcore.records import Estimate, Example, ModelSpec

__all__ = ["judge"]


def judge(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="Whose stored answers are judged; repeatable."
        ),
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option("--prompts", "-p", metavar="FILE", help="Prompt set with ids; repeatable."),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            "-j",
            metavar="JUDGE",
            help="Model string, or rule:METRIC for known answers; repeatable.",
        ),
    ] = None,
    judge_prompt: Annotated[
        str,
        typer.Option(
            "--judge-prompt",
            metavar="NAME|FILE[#NAME]",
            help="pairwise, single, five-way, logprobs, rubric, ranking; a YAML file, or FastChat's"
            " judge_prompts.jsonl.",
        ),
    ] = "pairwise",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Compare each model with this one only."),
    ] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Compare each model with each other one.")
    ] = False,
    order: Annotated[
        Literal["both", "random", "fixed"],
        typer.Option(help="Show each pair in both orders, in a random one, or as named."),
    ] = "both",
    on_disagreement: Annotated[
        Literal["tie", "unresolved"],
        typer.Option(help="What a pair is whose orders have different winners."),
    ] = "tie",
    references: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reference answers, as FastChat's reference_answer."),
    ] = None,
    jury: Annotated[
        bool, typer.Option("--jury", help="Let the models vote, instead of each for itself.")
    ] = False,
    weight: Annotated[
        list[float] | None,
        typer.Option(
            metavar="NUMBER",
            help="Of each model in the jury, in their order; 1 if not given; repeatable.",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Most tokens of a reply, instead of what the prompt says."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-L", min=1, help="Only the first N prompts.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, and ask nothing.")
    ] = False,
    max_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0.0, help="Stop before more than this is spent now."),
    ] = None,
    reuse_from: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="FORMAT FILE",
            help="Take over verdicts of alpaca_eval, fastchat or pandalm instead.",
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "auto",
    executor: ExecutorOption = "local",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let models or rules judge stored answers; started again, it asks only what is missing."""
    if context.invoked_subcommand is not None:
        return
    if reuse_from is not None:
        from evalcore.judges.foreign.command import reuse_verdicts

        reuse_verdicts(
            *reuse_from,
            prompts=prompts or [],
            workspace=workspace,
            store_url=store,
            as_json=as_json,
        )
        return
    from evalcore.judges.answers import stored_answers
    from evalcore.judges.jobs import JudgingJob, estimate
    from evalcore.judges.judging import judge as do_job
    from evalcore.judges.planning import Plan
    from evalcore.judges.prompt_files import load_protocol
    from evalcore.judges.records import GRADED
    from evalcore.progress import progress_bars
    from evalcore.store import open_store

    protocol = load_protocol(judge_prompt).with_max_new_tokens(max_new_tokens)
    judges, rules = _judges(judge or (), weight or ())
    specs, against = _models(model or (), baseline)
    _check_choice(protocol, specs, against=against, all_pairs=all_pairs)
    examples = _examples(prompts or (), references, limit)
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine, max_usd=max_usd
    )
    with open_store(workspace, store, create=False) as opened:
        plan = Plan(
            name="+".join(path.stem for path in prompts or ()),
            specs=specs,
            examples=examples,
            answers=stored_answers(opened, specs, examples),
            kind=protocol.kind,
            baseline=against,
            order=order,
        )
        job = JudgingJob(
            plan=plan,
            protocol=protocol,
            judges=judges,
            rules=rules,
            disagreement=on_disagreement,
            is_jury=jury,
        )
        names = {spec.fingerprint: spec.name for spec in specs}
        if dry_run:
            _print_estimates(estimate(job, opened, price=_price), as_json=as_json)
            return
        with progress_bars() as begin, opener() as running:
            result = do_job(job, opened, executor=running, begin=begin)
    if as_json:
        print_json({"result": result, "models": names})
    else:
        _print_result(result, names, is_graded=protocol.plain.form in GRADED)
    if result.problems:
        raise IncompleteError("; ".join(result.problems))


def _judges(
    texts: Sequence[str], weights: Sequence[float]
) -> tuple[tuple[Judge, ...], tuple[Rule, ...]]:
    from evalcore.judges.records import Judge
    from evalcore.judges.rules import PREFIX, parse_rule

    if not texts:
        raise InputError("no judge; name one with -j, such as -j openai:MODEL@URL")
    models = [text for text in texts if not text.startswith(PREFIX)]
    rules = [parse_rule(text) for text in dict.fromkeys(texts) if text.startswith(PREFIX)]
    try:
        specs = resolved_models(models)
    except ModelError as error:
        raise ModelError(f"judge: {error}; or {PREFIX}METRIC for known answers") from error
    if weights and (rules or len(weights) != len(specs)):
        raise InputError(
            "--weight must be given once for each judge of a jury, whose judges are models: "
            f"{len(specs)} here, and {len(rules)} rules; got {len(weights)} weights"
        )
    if any(not weight > 0.0 for weight in weights):
        raise InputError(f"--weight must be above 0; got {min(weights):g}")
    given = weights or [1.0] * len(specs)
    return (
        tuple(
            Judge(name=spec.name, spec=spec, weight=weight)
            for spec, weight in zip(specs, given, strict=True)
        ),
        tuple(rules),
    )


def _models(texts: Sequence[str], baseline: str | None) -> tuple[tuple[ModelSpec, ...], str | None]:
    """Resolve the models; the baseline is one of them by name, or one more."""
    if not texts:
        raise InputError("no model; name those to be judged with -m")
    specs = resolved_models(texts)
    if baseline is None:
        return tuple(specs), None
    by_name = {spec.name: spec.fingerprint for spec in specs}
    if baseline in by_name:
        return tuple(specs), by_name[baseline]
    (one,) = resolved_models([baseline])
    others = [spec for spec in specs if spec.fingerprint != one.fingerprint]
    return (*others, one), one.fingerprint


def _check_choice(
    protocol: Protocol, specs: Sequence[ModelSpec], *, against: str | None, all_pairs: bool
) -> None:
    if against is not None and all_pairs:
        raise InputError("--baseline and --all-pairs exclude each other")
    if protocol.kind != "pairwise" and (against is not None or all_pairs):
        option = "--all-pairs" if all_pairs else "--baseline"
        raise InputError(f"{option} is for pairs; {protocol.name} is a {protocol.kind} prompt")
    if protocol.kind == "pairwise" and len(specs) > 2 and against is None and not all_pairs:
        raise InputError(
            f"{len(specs)} models: say which pairs with --baseline MODEL or --all-pairs"
        )


def _examples(
    paths: Sequence[Path], references: Path | None, limit: int | None
) -> tuple[Example, ...]:
    from evalcore.judges.answers import check_ids, with_references
    from evalcore.tasks.prompt_sets import read_prompts

    if not paths:
        raise InputError("no prompts; name the file they are in with -p")
    examples = []
    for path in paths:
        some = read_prompts(path)[:limit]
        check_ids(some, path)
        examples += some
    return tuple(examples if references is None else with_references(examples, references))


def _price(judge: Judge, prompt_tokens: int, completion_tokens: int) -> float | None:
    if judge.spec is None or judge.spec.backend != "openai":
        return 0.0
    from runners.endpoint.address import endpoint_of

    endpoint = endpoint_of(judge.spec)
    if endpoint.price is None:
        return 0.0 if endpoint.is_private else None
    return endpoint.price.cost_usd(prompt_tokens, completion_tokens)


def _print_estimates(found: Sequence[Estimated], *, as_json: bool) -> None:
    if as_json:
        print_json({"estimates": found})
        return
    print_table(
        [
            {
                "judge": item.judge,
                "calls": item.n_calls,
                "left": item.n_left,
                "prompt tokens": f"{item.prompt_tokens:,}",
                "answer tokens": f"{item.completion_tokens:,}",
                "cost": "unknown" if item.cost_usd is None else f"${item.cost_usd:.4f}",
            }
            for item in found
        ]
    )
    print("Nothing was asked. Without earlier replies, answer tokens and cost are upper bounds.")


def _print_result(result: JudgingResult, names: Mapping[str, str], *, is_graded: bool) -> None:
    print_table(
        [
            {
                "judge": item.judge,
                "calls": item.tally.n_calls,
                "asked now": item.n_asked,
                "missing": item.tally.n_missing,
                "unscored": item.tally.n_unscored,
                "tokens": f"{item.tally.prompt_tokens:,}+{item.tally.completion_tokens:,}",
                "spent now": f"${item.spent_usd:.4f}",
                "in all": f"${item.tally.cost_usd:.4f}",
            }
            for item in result.judges
        ]
    )
    print_table(
        [
            {
                "judge": item.rater,
                "model": names[item.model_a],
                "against": names[item.model_b],
                "won/tied/lost": f"{item.wins}/{item.ties}/{item.losses}",
                "disagree": item.n_disagreed,
                "unscored": item.n_unscored,
                "win rate": _interval(item.win_rate),
                **({"preference": _interval(item.preference)} if is_graded else {}),
            }
            for item in result.pairs
        ]
    )
    print_table(
        [
            {
                "task": run.task,
                "model": run.spec.name,
                "metric": metric,
                "value": _interval(estimate),
                "n": estimate.n,
                "unscored": estimate.n_unscored,
            }
            for run in result.runs
            for metric, estimate in run.estimates.items()
            if "/" not in metric
        ]
    )
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _interval(found: Estimate) -> str:
    if math.isnan(found.value):
        return "–"
    if not math.isfinite(found.high - found.low):
        return f"{found.value:.3f} (interval not known)"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
