"""Cost of mirroring a run in MLflow: in one batch, as Parity does, and metric by metric.

Both ways write the same run in turn, so that whatever else the machine does falls on both::

    python benchmarks/tracking.py [--runs N] [--metrics N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

# By way of our module, which turns MLflow's telemetry off before it imports it.
from leaderboards.tracking import Metric, MlflowClient, Param


def batched(client: MlflowClient, experiment_id: str, n_metrics: int) -> None:
    run = client.create_run(experiment_id, tags={"parity.unit_hash": "0" * 32})
    metrics = [Metric(f"task/metric {i}", 0.1 * i, 1, 0) for i in range(n_metrics)]
    client.log_batch(run.info.run_id, metrics=metrics, params=_params())
    client.set_terminated(run.info.run_id)


def one_by_one(client: MlflowClient, experiment_id: str, n_metrics: int) -> None:
    run = client.create_run(experiment_id)
    client.set_tag(run.info.run_id, "parity.unit_hash", "0" * 32)
    for param in _params():
        client.log_param(run.info.run_id, param.key, param.value)
    for i in range(n_metrics):
        client.log_metric(run.info.run_id, f"task/metric {i}", 0.1 * i)
    client.set_terminated(run.info.run_id)


def _params() -> list[Param]:
    return [Param(f"setting {i}", str(i)) for i in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--metrics", type=int, default=40)
    chosen = parser.parse_args()
    took: dict[str, list[float]] = {"batched": [], "one by one": []}
    with tempfile.TemporaryDirectory() as folder:
        client = MlflowClient(f"sqlite:///{Path(folder) / 'mlflow.db'}")
        experiment_id = client.create_experiment("cost", artifact_location=folder)
        for write in (batched, one_by_one):  # the first of each is not counted
            write(client, experiment_id, chosen.metrics)
        for _ in range(chosen.runs):
            for name, write in (("batched", batched), ("one by one", one_by_one)):
                start = time.perf_counter()
                write(client, experiment_id, chosen.metrics)
                took[name].append(1000.0 * (time.perf_counter() - start))
    for name, times in took.items():
        print(
            f"{name:10}  {median(times):7.1f} ms a run (median of {len(times)}; "
            f"{min(times):.1f} to {max(times):.1f}), "
            f"{median(times) / chosen.metrics:.2f} ms a metric"
        )
    ratio = median(b / a for a, b in zip(took["batched"], took["one by one"], strict=True))
    print(f"one by one costs {ratio:.1f} times as much (median of the pairs' ratios)")


if __name__ == "__main__":
    main()
