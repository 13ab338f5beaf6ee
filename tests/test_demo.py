import json
from pathlib import Path

import pytest


@pytest.mark.slow
def test_demo_goes_from_the_tiny_family_to_report_and_mlflow(parity, tmp_path: Path):
    code, out, _ = parity("demo", "--limit", "8", "-w", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == 0
    assert "instruct+math" in result["summary"]
    assert "instruct+math" in Path(result["report"]).read_text()
    assert result["sync"]["n_created"] == 7 + 7 * 5
