"""Files of other tools and empty workspaces, for tests."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from evalcore.store import Store, open_store


@cache
def _empty() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="parity-empty-"))
    open_store(folder).close()
    return folder


def fresh_store(folder: Path) -> Store:
    """Open a new workspace; migrations take half a second, copying their result does not."""
    shutil.copytree(_empty(), folder)
    return open_store(folder)


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = content if isinstance(content, list) and path.suffix == ".jsonl" else None
    text = "\n".join(map(json.dumps, lines)) + "\n" if lines is not None else json.dumps(content)
    path.write_text(text)
    return path


def lm_eval_files(folder: Path) -> Path:
    """Files as version 0.4.13 writes them, of two examples and two filters."""
    stamp = "2026-11-01T10-00-00.123456"
    results = {
        "results": {
            "tiny": {
                "alias": "tiny",
                "exact_match,none": 0.5,
                "exact_match_stderr,none": 0.5,
                "exact_match,strict": 0.0,
                "exact_match_stderr,strict": 0.0,
            }
        },
        "group_subtasks": {"tiny": []},
        "configs": {"tiny": {"task": "tiny", "num_fewshot": 2, "output_type": "generate_until"}},
        "versions": {"tiny": 1.0},
        "n-shot": {"tiny": 2},
        "higher_is_better": {"tiny": {"exact_match": True}},
        "n-samples": {"tiny": {"original": 9, "effective": 2}},
        "config": {"model": "hf", "model_args": "pretrained=org/m", "limit": 2.0},
        "date": 1793527200.0,
        "lm_eval_version": "0.4.13",
        "task_hashes": {"tiny": "abc"},
        "model_name": "org/m",
    }
    write(folder / "org__m" / f"results_{stamp}.json", results)
    lines = [
        {
            "doc_id": number,
            "doc": {"q": f"{number}?"},
            "target": str(number),
            "arguments": {"gen_args_0": {"arg_0": f"Q: {number}?", "arg_1": {"until": ["\n"]}}},
            "resps": [[f"say {number}"]],
            "filtered_resps": [f"{number}"],
            "filter": chosen,
            "metrics": ["exact_match"],
            "doc_hash": "d",
            "prompt_hash": "p",
            "target_hash": "t",
            "exact_match": float(number == 0 and chosen == "none"),
        }
        for chosen in ("none", "strict")
        for number in range(2)
    ]
    write(folder / "org__m" / f"samples_tiny_{stamp}.jsonl", lines)
    return folder
