"""The recipes of docs/scaling.md: what can be checked without SLURM or Kubernetes.

The fields and types below are those of KubeRay's ``ray.io/v1`` RayJob (rayjob_types.go and
raycluster_types.go of its repository), read in November 2026; of pods, only what the manifest uses.
The manifest was not applied to a cluster.
"""

import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WHOLE = {"type": "integer"}
TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
YES_OR_NO = {"type": "boolean"}


def record(required: tuple[str, ...] = (), **fields: object) -> dict:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def many(of: dict) -> dict:
    return {"type": "array", "items": of}


CONTAINER = record(
    ("name", "image"),
    name=TEXT,
    image=TEXT,
    resources=record(requests=TEXTS, limits=TEXTS),
    env=many(record(("name",), name=TEXT, value=TEXT)),
    volumeMounts=many(record(("name", "mountPath"), name=TEXT, mountPath=TEXT)),
)
CLAIM = record(("claimName",), claimName=TEXT)
POD = record(
    ("spec",),
    spec=record(
        ("containers",),
        containers=many(CONTAINER),
        volumes=many(record(("name",), name=TEXT, persistentVolumeClaim=CLAIM)),
    ),
)
HEAD = record(
    ("rayStartParams", "template"),
    serviceType=TEXT,
    enableIngress=YES_OR_NO,
    rayStartParams=TEXTS,
    template=POD,
)
WORKERS = record(
    ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    numOfHosts=WHOLE,
    rayStartParams=TEXTS,
    template=POD,
)
CLUSTER = record(
    ("headGroupSpec",),
    headGroupSpec=HEAD,
    workerGroupSpecs=many(WORKERS),
    rayVersion=TEXT,
    enableInTreeAutoscaling=YES_OR_NO,
    suspend=YES_OR_NO,
)
JOB = record(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=record(("name",), name=TEXT, namespace=TEXT),
    spec=record(
        activeDeadlineSeconds=WHOLE,
        backoffLimit=WHOLE,
        rayClusterSpec=CLUSTER,
        metadata=TEXTS,
        clusterSelector=TEXTS,
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        ttlSecondsAfterFinished=WHOLE,
        shutdownAfterJobFinishes=YES_OR_NO,
        suspend=YES_OR_NO,
    ),
)


@pytest.fixture
def job() -> dict:
    return yaml.safe_load((EXAMPLES / "parity-rayjob.yaml").read_text("utf-8"))


def test_manifest_has_the_fields_and_types_of_a_rayjob(job: dict):
    jsonschema.validate(job, JOB)


def test_a_misspelt_field_would_be_found(job: dict):
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 4
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(job, JOB)


def test_entrypoint_is_a_command_that_parity_knows(job: dict, parity):
    _, command, *options = job["spec"]["entrypoint"].split()
    _, described, _ = parity(command, "--help")
    assert all(option in described for option in options if option.startswith("--"))


def test_versions_of_the_recipe_are_those_that_are_pinned(job: dict):
    pinned = (EXAMPLES.parent / "constraints.txt").read_text("utf-8")
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}" in pinned


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_batch_script_can_be_parsed():
    subprocess.run(["bash", "-n", EXAMPLES / "parity-ray.sbatch"], check=True)
