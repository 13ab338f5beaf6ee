"""The same work here and on a cluster of three nodes, while workers, nodes and drivers die."""

import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

import evalcore
from evalcore.errors import IncompleteError, InputError
from runners.cluster.choice import parse_executor

pytestmark = pytest.mark.slow
Answer = TypeVar("Answer")
DRIVER = Path(__file__).with_name("cluster_driver.py")
QUERIES = (
    "SELECT fingerprint, request_key, logprob, is_greedy FROM loglikelihood ORDER BY 1, 2",
    "SELECT fingerprint, request_key, example_id, text FROM generation ORDER BY 1, 2",
    "SELECT fingerprint, task_hash, metric, example_id, value FROM score ORDER BY 1, 2, 3, 4",
    "SELECT fingerprint, SUM(prefill_tokens), SUM(decode_tokens) FROM work GROUP BY 1 ORDER BY 1",
)


def facts(workspace: Path, url: str | None = None) -> list[list[tuple]]:
    """Everything stored but times."""
    engine = sa.create_engine(url or f"sqlite:///{workspace / 'parity.sqlite'}")
    with closing(engine.connect()) as connection:
        found = [list(map(tuple, connection.execute(sa.text(query)))) for query in QUERIES]
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        # Ray's processes are told of failures by their open connections; this is for the rest.
        patch.setenv("RAY_health_check_period_ms", "1000")
        patch.setenv("RAY_health_check_failure_threshold", "3")
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 80_000_000}
        started = Cluster(
            initialize_head=True, head_node_args={**small, "include_dashboard": False}
        )
        started.small = small
        for _ in range(2):
            started.add_node(**small, wait=False)
        started.wait_for_nodes()
        yield started
        started.shutdown()


@pytest.fixture(scope="module")
def driver() -> ModuleType:
    """The troublesome model's module, which travels to the workers as code."""
    from ray import cloudpickle

    spec = importlib.util.spec_from_file_location("cluster_driver", DRIVER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["cluster_driver"] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["cluster_driver"]


@pytest.fixture(scope="module")
def undisturbed(driver: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple]]:
    """What answering here gives, in no time."""
    workspace = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "REQUEST_S", 0.0)
        driver.answer(driver.here(), workspace, driver.prompts(1200))
    return facts(workspace)


def test_an_evaluation_on_a_cluster_has_the_rows_of_a_local_one(cluster, parity, tmp_path):
    models = ["-m", "zoo:tiny", "-m", "zoo:tiny+lora:zoo:tiny-instruct"]
    asked = ["eval", *models, "-t", "tiny-choice", "-t", "tiny-text", "-t", "tiny-instructions"]
    asked += ["-L", "40", "--batch-size", "4"]
    where = f"ray://{cluster.address}?workers=2"
    assert parity(*asked, "-w", tmp_path / "here")[0] == 0
    code, _, told = parity(*asked, "-w", tmp_path / "there", "--executor", where)
    assert (code, told) == (0, "")
    here, there = facts(tmp_path / "here"), facts(tmp_path / "there")
    assert min(map(len, there)) > 0
    assert here == there
    assert "loading" in (tmp_path / "there" / "logs" / "worker-1.log").read_text()


def test_forms_answer_on_a_cluster_as_they_do_here(cluster, parity, tmp_path):
    asked = ["quantize-check", "-m", "zoo:tiny", "-q", "bf16", "-t", "tiny-choice", "-L", "20"]
    asked += ["--rounds", "0", "--n-texts", "4", "--batch-size", "4"]
    assert parity(*asked, "-w", tmp_path / "here")[0] == 0
    where = f"ray://{cluster.address}?workers=1"
    code, _, told = parity(*asked, "-w", tmp_path / "there", "--executor", where)
    assert (code, told) == (0, "")
    assert facts(tmp_path / "here")[:3] == facts(tmp_path / "there")[:3]
    assert "loading" in (tmp_path / "there" / "logs" / "worker-1.log").read_text()


def test_lost_workers_and_nodes_cost_nothing_but_time(cluster, driver, undisturbed, tmp_path: Path):
    killed = []

    def kill(executor) -> None:
        rng = random.Random(5)
        while not (executor.pool and executor.pool.seats):
            time.sleep(0.05)
        for number in range(5):
            time.sleep(rng.uniform(0.2, 0.5))
            if number == 2:
                cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
                killed.append("node")
            elif started := wait_until(lambda: [m for m in executor.pool.members if m.about], 20):
                killed.append(rng.choice(started).about.pid)
                os.kill(killed[-1], signal.SIGKILL)

    with driver.there(cluster.address, tmp_path) as executor:
        killer = threading.Thread(target=kill, args=(executor,))
        killer.start()
        n_answers = driver.answer(executor, tmp_path, driver.prompts(1200))
        killer.join()
    cluster.add_node(**cluster.small)
    assert len(killed) >= 3
    assert n_answers == 2400
    assert facts(tmp_path) == undisturbed


def test_a_killed_driver_goes_on_where_it_was(cluster, driver, undisturbed, tmp_path: Path):
    command = [sys.executable, str(DRIVER), cluster.address, str(tmp_path), "1200"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while (stored := n_stored(tmp_path)) == 0 and running.poll() is None:
            time.sleep(0.05)
        running.kill()
    assert 0 < stored < 2400
    assert no_workers_within(20)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert facts(tmp_path) == undisturbed


def test_two_drivers_on_one_postgresql_share_the_work(
    cluster, driver, undisturbed, postgres, tmp_path: Path
):
    folders = [tmp_path / "one", tmp_path / "two"]
    command = [sys.executable, str(DRIVER), cluster.address]
    running = [
        subprocess.Popen([*command, str(folder), "1200", postgres.url], stdout=subprocess.PIPE)
        for folder in folders
    ]
    told = [process.communicate(timeout=300)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert told == [b"2400", b"2400"]
    assert facts(tmp_path, postgres.url) == undisturbed
    computed = [driver.n_computed(folder) for folder in folders]
    assert min(computed) > 0
    assert sum(computed) < 1.5 * 2400, computed  # twice only what both had under way


def n_stored(workspace: Path) -> int:
    try:
        return len(facts(workspace)[1])
    except OperationalError:
        return 0


def no_workers_within(limit_s: float) -> bool:
    return wait_until(lambda: not any("ray::Worker" in title for title in titles()), limit_s)


def wait_until(asked: Callable[[], Answer], limit_s: float) -> Answer:
    """Ask until the answer is true or the time is over; return the last answer."""
    until = time.monotonic() + limit_s
    while not (answer := asked()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def titles() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text().replace("\0", " ")
        except OSError:
            continue


def test_poisoned_units_are_told_and_the_rest_is_done(cluster, driver, tmp_path):
    examples = driver.prompts(200, extra=("a poison", "z deadly"))
    with (
        driver.there(cluster.address, tmp_path, workers=2) as executor,
        pytest.raises(IncompleteError, match="tried 3 times: RuntimeError: this is poison") as told,
    ):
        driver.answer(executor, tmp_path, examples, models=1)
    assert told.value.exit_code == 3
    assert "tried 3 times: the worker died of it" in str(told.value)
    n_unscored = int(str(told.value).split()[0])
    assert 2 <= n_unscored <= 2 * 64
    assert n_stored(tmp_path) == len(examples) - n_unscored


def test_another_version_on_the_cluster_is_refused(cluster, driver, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(evalcore, "__version__", "0.0.0.dev0")
    with (
        driver.there(cluster.address, tmp_path) as executor,
        pytest.raises(InputError, match=r"has Parity .*and this process Parity 0.0.0.dev0"),
    ):
        driver.answer(executor, tmp_path, driver.prompts(1))


def test_gpus_that_no_node_has_are_refused(cluster, driver, tmp_path: Path):
    with (
        driver.there(cluster.address, tmp_path, gpus=8.0) as executor,
        pytest.raises(InputError, match="asks for 8 GPUs, and no node of the cluster has that"),
    ):
        driver.answer(executor, tmp_path, driver.prompts(1))


@pytest.mark.parametrize("is_listening", [False, True])
def test_an_address_without_a_cluster_is_refused_in_ten_seconds(is_listening, parity, tmp_path):
    with socket.socket() as mute:
        mute.bind(("127.0.0.2", 0))
        if is_listening:
            mute.listen()
        # Ray takes localhost for this machine's address in the network, 127.0.0.2 for itself.
        where = f"ray://127.0.0.2:{mute.getsockname()[1]}"
        began = time.monotonic()
        asked = ["eval", "-m", "fake:m", "-t", "tiny-choice", "-L", "2", "-w", tmp_path]
        code, _, told = parity(*asked, "--executor", where)
    assert code == 2
    assert time.monotonic() - began < 15
    assert told.count("\n") == 1
    assert "no Ray cluster answers at" in told


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path):
    model = ["-m", "fake:m", "-t", "tiny-choice", "-w", str(tmp_path)]
    program = [sys.executable, "-m", "evalcore", "eval", *model, "--executor", "ray?workers=1"]
    # A suite that runs in the background has it ignored, and so would what it starts.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(program, **pipes, text=True, preexec_fn=heed) as running:
        while not (rays := ray_processes(running.pid)) and running.poll() is None:
            time.sleep(0.02)
        assert rays, running.communicate()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in rays), 20)


def ray_processes(parent: int) -> list[int]:
    """Return a process's own raylet and what else it has started by then."""
    children = [
        int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ]
    told = [Path(f"/proc/{pid}/cmdline") for pid in children]
    is_up = any("raylet" in path.read_text() for path in told if path.exists())
    return children if is_up else []


def test_where_is_checked_before_models_are():
    with pytest.raises(InputError, match="--executor must be local"):
        parse_executor("kubernetes")
