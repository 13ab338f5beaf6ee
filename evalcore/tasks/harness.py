"""Tasks of EleutherAI's lm-evaluation-harness, by their own definitions and metrics.

The harness says what is asked, how answers are filtered and measured, and how measurements are put
together; models, storage, resuming and intervals are Parity's.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from evalcore.errors import TaskError
from evalcore.hashing import content_hash
from evalcore.protocols import (
    Completion,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Measurement,
    Request,
    Response,
    RollingRequest,
    ScoredExample,
)
from evalcore.records import Estimate, Example, SamplingParams
from evalcore.tasks.harness_metrics import Aggregation, aggregation
from evalcore.tasks.harness_settings import HarnessSettings, prompt_of

__all__ = [
    "FEWSHOT_SEED",
    "KINDS",
    "PREFIX",
    "Document",
    "HarnessTask",
    "canonical",
    "sampling_params",
]

PREFIX = "lm_eval:"

FEWSHOT_SEED = 1234
"""What the harness seeds its drawing of worked examples with, unless told otherwise."""
_LIMIT_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DEFAULT_LIMIT = 256
_NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "min_p": 0.0, "num_return_sequences": 1}
KINDS = {
    "multiple_choice": "multiple_choice",
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "perplexity",
    "generate_until": "generate",
}


def sampling_params(settings: Mapping[str, Any], *, seed: int = 0) -> SamplingParams:
    """Turn the harness's settings of a generation into ours.

    Parameters
    ----------
    settings
        ``until``, ``max_gen_toks`` or one of its other names (256 without any), ``do_sample``,
        ``temperature``, ``top_p`` and ``top_k``; without ``do_sample`` a temperature over 0 means
        sampling.
    seed
        Of the sampling.

    Raises
    ------
    TaskError
        For a setting that would change answers and is not among these.
    """
    left = dict(settings)
    until = left.pop("until", None) or []
    limits = [left.pop(name, None) for name in _LIMIT_NAMES]
    temperature = float(left.pop("temperature", None) or 0.0)
    do_sample = left.pop("do_sample", None)
    if do_sample and not temperature:
        # What the harness hands to transformers then is its default.
        temperature = 1.0
    params = SamplingParams(
        max_new_tokens=int(next((n for n in limits if n is not None), _DEFAULT_LIMIT)),
        temperature=0.0 if do_sample is False else temperature,
        top_p=float(left.pop("top_p", None) or 1.0),
        top_k=int(left.pop("top_k", None) or 0),
        stop=tuple(text for text in ([until] if isinstance(until, str) else until) if text),
        seed=seed,
    )
    for name, value in left.items():
        if value is not None and value != _NEUTRAL.get(name):
            raise TaskError(f"generation_kwargs: {name}={value!r} is not supported")
    return params


@dataclass(frozen=True, slots=True)
class Document:
    """An example with the harness's own view of it."""

    example: Example
    instances: Sequence[Any]
    """Its requests in the harness's form, in order."""


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task of the harness; see :class:`evalcore.protocols.Task`.

    Metrics have the harness's names; those of a filter other than the default are called
    ``metric,filter``. Where a metric's aggregation is not a mean, an example's score is what the
    aggregation gives for this example alone.
    """

    harness: Any
    """The harness's task object, with its requests built."""
    documents: Mapping[str, Document]
    """By example id, in order."""
    asking: HarnessSettings = field(default_factory=HarnessSettings)
    """How the prompts were made."""

    @property
    def name(self) -> str:
        """The harness's name for it behind ``lm_eval:``, with settings that are not its own."""
        return f"{PREFIX}{self.harness.task_name}{self.asking.words}"

    @property
    def kind(self) -> str:
        """What is asked: multiple_choice, loglikelihood, perplexity or generate."""
        return KINDS[self.harness.OUTPUT_TYPE]

    @property
    def description(self) -> str:
        """Where its data come from."""
        config = self.harness.config
        return " ".join(str(part) for part in (config.dataset_path, config.dataset_name) if part)

    @cached_property
    def hash(self) -> str:
        """Hash over definition, seeds, documents and the requests made of them."""
        requests = [
            request.key
            for document in self.documents.values()
            for request in self.requests(document.example)
        ]
        return content_hash([self.settings, list(self.documents), requests])

    @property
    def examples(self) -> Sequence[Example]:
        """The examples, in order."""
        return [document.example for document in self.documents.values()]

    @property
    def primary_metric(self) -> str:
        """The first metric of the first filter."""
        return next(iter(self.higher_is_better))

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The metrics of each filter, and for each whether more is better."""
        return {
            _full_name(metric, ensemble.name): bool(higher)
            for ensemble in self.harness._filters
            for metric, higher in self.harness.higher_is_better().items()
        }

    @cached_property
    def settings(self) -> Mapping[str, object]:
        """Version of the harness, the task's definition, seeds, and settings unlike its own."""
        return {
            "lm_eval": importlib.import_module("lm_eval").__version__,
            "definition": json.loads(canonical(self.harness.dump_config())),
            "version": str(self.harness.VERSION),
            "fewshot_seed": FEWSHOT_SEED,
            **self.asking.unusual,
        }

    def requests(self, example: Example) -> Sequence[Request]:
        """Return an example's requests, repeated ones behind each other with seeds of their own."""
        return [
            _request(instance, repeat)
            for instance in self.documents[example.id].instances
            for repeat in range(instance.repeats)
        ]

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """Measure an example's responses as the harness does; nan if one of them failed."""
        if any(_is_failed(response) for response in responses):
            return {name: Measurement(math.nan) for name in self.higher_is_better}
        measured = self._measured(example, responses)
        return {name: self._aggregation(name).measure(value) for name, value in measured.items()}

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Sum up by the metric's own aggregation, over the examples that have it."""
        scored = [item for item in items if metric in item.measurements]
        found = self._aggregation(metric)
        measurements = [item.measurements[metric] for item in scored]
        if found.is_separable:
            return found.estimate(measurements)
        able = [item for item in scored if not any(map(_is_failed, item.responses))]
        values = [self._measured(item.example, item.responses)[metric] for item in able]
        return found.estimate_together(values, n_unscored=len(scored) - len(able))

    def _aggregation(self, name: str) -> Aggregation:
        return aggregation(self.harness.aggregation().get(name.partition(",")[0]))

    def _measured(self, example: Example, responses: Sequence[Response]) -> dict[str, Any]:
        """Return what the harness makes of responses, by full name of the metric."""
        left = iter(responses)
        is_rolling = self.kind == "perplexity"
        instances = [
            replace(
                instance,
                resps=[_plain(next(left), is_rolling=is_rolling) for _ in range(instance.repeats)],
                filtered_resps={},
            )
            for instance in self.documents[example.id].instances
        ]
        for ensemble in self.harness._filters:
            ensemble.apply(instances)
        measured: dict[str, Any] = {}
        for ensemble in self.harness._filters:
            filtered = [instance.filtered_resps[ensemble.name] for instance in instances]
            values = self.harness.process_results(instances[0].doc, filtered)
            measured |= {_full_name(metric, ensemble.name): v for metric, v in values.items()}
        return measured


def _request(instance: Any, repeat: int) -> Request:
    match instance.request_type:
        case "loglikelihood":
            context = prompt_of(instance.args[0])
            return LoglikelihoodRequest(
                context=context,
                continuation=instance.args[1],
                harness_rules=True,
            )
        case "loglikelihood_rolling":
            return RollingRequest(text=instance.args[0], scores_marks=True)
        case _:
            prompt = prompt_of(instance.args[0])
            return GenerateRequest(
                prompt=prompt,
                params=sampling_params(instance.args[1], seed=repeat),
                harness_rules=not isinstance(prompt, str),
            )


def _plain(response: Response, *, is_rolling: bool) -> Any:
    """Return a response in the harness's form."""
    if isinstance(response, Completion):
        return response.text
    return response.logprob if is_rolling else (response.logprob, response.is_greedy)


def _is_failed(response: Response) -> bool:
    if isinstance(response, Loglikelihood):
        return math.isnan(response.logprob)
    return response.finish_reason == "error"


def _full_name(metric: str, ensemble: str) -> str:
    return metric if ensemble == "none" else f"{metric},{ensemble}"


def canonical(content: Any) -> str:
    """Return JSON; what has no form in it as text, without the place in memory."""

    def as_text(value: Any) -> str:
        return str(value).partition(" at 0x")[0]

    return json.dumps(content, default=as_text, sort_keys=True, ensure_ascii=False)
