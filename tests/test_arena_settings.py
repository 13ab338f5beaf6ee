"""Settings from a file."""

from pathlib import Path

import pytest

from arena.settings import ArenaSettings
from arena.settings_file import SettingsFile, with_file
from evalcore.errors import InputError

PLAIN = ArenaSettings(secret="s" * 32)


def test_file_says_what_differs(tmp_path: Path):
    path = tmp_path / "arena.yaml"
    path.write_text("consent_text: Agreed?\nadmits: [link, account]\nretention_days: 30\n")
    settings = with_file(PLAIN, path)
    assert settings.consent_text == "Agreed?"
    assert settings.admits == ("link", "account")
    assert (settings.retention_days, settings.vote_limit) == (30, PLAIN.vote_limit)
    assert settings.consent_version != PLAIN.consent_version


@pytest.mark.parametrize("line", ["secret: mine", "retention_days: -1", "admits: [robots]"])
def test_mistake_is_named_with_its_file(tmp_path: Path, line: str):
    path = tmp_path / "arena.yaml"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=rf"arena\.yaml: .*{line.split(':')[0]}"):
        with_file(PLAIN, path)


def test_keys_are_fields_of_the_settings():
    assert set(SettingsFile.model_fields) <= set(ArenaSettings.__dataclass_fields__)
