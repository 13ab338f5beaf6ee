"""What the documents' site adds to the files of docs/.

One page of reference for each module, and the pages that lie at the project's root.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("evalcore", "runners", "arena", "leaderboards", "reports")
_AT_THE_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./(?:examples|benchmarks)/[^)]*\)")
_NOT_FOR_CALLERS = ("cli", "__main__", "migrations")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages that don't lie in docs/."""
    for page, name in _AT_THE_ROOT.items():
        content = (_ROOT / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, page, content=content))
    _add_reference(files, config)
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Point links to files at the root to their pages here; name other files outside of docs/."""
    for page, name in _AT_THE_ROOT.items():
        markdown = markdown.replace(f"](../{name})", f"]({page})")
    return _OUTSIDE.sub(r"\1", markdown)


def _add_reference(files: Files, config: MkDocsConfig) -> None:
    """Add a page for each module, and a list of them."""
    listed = []
    for package in _PACKAGES:
        listed.append(f"\n## {package}\n")
        for name, first_line in _modules(package):
            page = f"# {name}\n\n::: {name}\n"
            files.append(File.generated(config, f"reference/{name}.md", content=page))
            listed.append(f"- [`{name}`]({name}.md): {first_line}")
    index = "# Reference\n\nModules with names that others may use, from their docstrings.\n"
    content = index + "\n".join(listed) + "\n"
    files.append(File.generated(config, "reference/index.md", content=content))


def _modules(package: str) -> Iterator[tuple[str, str]]:
    """Yield name and first line of each module that says in ``__all__`` what it offers."""
    for path in sorted((_ROOT / package).rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if any(part in _NOT_FOR_CALLERS for part in parts):
            continue
        tree = ast.parse(path.read_text())
        docstring = ast.get_docstring(tree)
        if docstring and any(_offers(node) for node in tree.body):
            yield ".".join(parts), docstring.partition("\n")[0]


def _offers(node: ast.stmt) -> bool:
    """Tell whether a statement sets ``__all__``."""
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )
