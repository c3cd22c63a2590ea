"""The rules of the house that no tool checks."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3shim import config, routes

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "s3shim"
FILES = sorted(
    path
    for name in ("s3shim", "tests", "crash", "bench", "conformance")
    for path in (ROOT / name).rglob("*.py")
)
MODULES = [path for path in FILES if PACKAGE in path.parents]

MAX_FILE = 400
MAX_FUNCTION = 60
MAX_OWN_IMPORTS = 8

BANNED_NAMES = ("utils", "util", "helpers", "helper", "common", "manager", "misc")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


SELDOM = [path for path in FILES if name(path).split("/")[0] in ("crash", "bench", "conformance")]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names of the modules that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        # "from s3shim import names" loads s3shim.names.
        for alias in node.names:
            if (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists():
                yield f"{node.module}.{alias.name}"


@pytest.mark.parametrize("path", [path for path in SELDOM if path.name != "__main__.py"], ids=name)
def test_what_is_run_seldom_can_be_imported(path: Path) -> None:
    importlib.import_module(name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports(path: Path) -> None:
    module = tree(path)
    nested = [
        node
        for function in ast.walk(module)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert nested == []
    assert "TYPE_CHECKING" not in path.read_text()
    own = {module for node in ast.walk(module) for module in imported(node) if module.startswith("s3shim.")}
    # "from s3shim.backends import base" names the package and the module: one import.
    own = {module for module in own if not any(other.startswith(f"{module}.") for other in own)}
    assert len(own) <= MAX_OWN_IMPORTS, sorted(own)


def test_module_names_say_what_is_in_them() -> None:
    assert [name(path) for path in MODULES if path.stem in BANNED_NAMES] == []


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return (
            node.attr in ("environ", "environb", "getenv", "putenv") and getattr(node.value, "id", "") == "os"
        )
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name in ("environ", "environb", "getenv", "putenv") for alias in node.names)
    return False


def test_only_config_reads_the_environment() -> None:
    readers = {name(path) for path in MODULES if any(map(reads_environment, ast.walk(tree(path))))}
    assert readers == {"s3shim/config/loading.py"}


def is_secret(node: ast.expr) -> bool:
    return any(
        re.search("secret|signature", getattr(part, "id", "") + getattr(part, "attr", ""), re.IGNORECASE)
        for part in ast.walk(node)
    )


def test_secrets_are_compared_in_constant_time() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in (PACKAGE / "auth").rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(map(is_secret, [node.left, *node.comparators]))
        # The length of a secret is none, and neither is its absence.
        and not any(isinstance(side, ast.Call) for side in [node.left, *node.comparators])
    ]
    assert found == []


def test_pyproject_has_three_lines() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0] == "[build-system]"


def test_the_operations_page_is_the_table() -> None:
    assert (ROOT / "docs" / "operations.md").read_text() == routes.document()


def test_the_settings_in_the_readme_are_the_table() -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", readme, re.DOTALL)
    assert found
    assert found[1] == config.document()


def requirements() -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].split()
    for extra in parser["options.extras_require"].values():
        lines += extra.split()
    return sorted({re.split(r"[<>=!~[]", line)[0] for line in lines})


@pytest.mark.parametrize("requirement", requirements())
def test_every_dependency_is_decided(requirement: str) -> None:
    """docs/decisions.md says in a sentence what each is for."""
    text = (ROOT / "docs" / "decisions.md").read_text()
    sentences = re.split(r"(?<=[.!?])\s", text)
    mention = re.compile(rf"(?<![\w-]){re.escape(requirement)}(?![\w-])", re.IGNORECASE)
    assert any(mention.search(sentence) and len(sentence.split()) >= 5 for sentence in sentences)


def test_nothing_points_outside_the_repository() -> None:
    """No row ids of other papers, no paths of the machine that this was written on."""
    outside = re.compile(
        "|".join((r"\.\./" + "shared", "/" + "work/", r"\b(?:SVC|BKT|OBJ|LST|OBS|DUR|AUTH)" + r"-[0-9]{2}\b"))
    )
    texts = [
        *FILES,
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "Makefile",
        ROOT / "setup.cfg",
    ]
    assert [name(path) for path in texts if outside.search(path.read_text())] == []
