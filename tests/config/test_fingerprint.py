import os
import re
from pathlib import Path

import pytest

from fastpipe.config.fingerprint import HOUSEKEEPING, ROOT, closure, fingerprint
from fastpipe.config.names import STAGES

FILES = {
    "__init__.py": "",
    "a.py": "import os\nfrom pkg.b import one\nfrom . import d\n",
    "b.py": '"""Doc."""\ndef one(x):\n    """Doc."""\n    # comment\n    return x + 1\n',
    "c.py": "import pkg.b\nTHREE = 3\n",
    "d.py": "def lazy():\n    from .deep.e import five\n    return five\n",
    "deep/__init__.py": "",
    "deep/e.py": "from ..c import THREE\nfrom pkg.deep import f as g\n",
    "deep/f.py": "",
    "deep/query.sql": "select 1",
    "plugins/__init__.py": "",
    "plugins/one.py": "from pkg.c import THREE",
    "plugins/two.py": "",
    "plugins/inner/__init__.py": "",
    "plugins/inner/three.py": "",
    "unused.py": "from pkg import a",
    "registry.py": "from pkg import plugins",
    "registry2.py": "import pkg.plugins as plugins",
    "registry3.py": "from pkg.plugins import *",
    "registry4.py": "from pkg.plugins import one, inner",
    "circle.py": "import pkg.elsewhere.nothing\nfrom pkg.circle import circle\nimport pk.b",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small package with relative imports, local imports, a query and plug-ins."""
    folder = tmp_path / "pkg"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def names(root: Path, module: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in closure(module, root)]


PLUGINS = [
    "plugins/__init__.py",
    "plugins/inner/__init__.py",
    "plugins/inner/three.py",
    "plugins/one.py",
    "plugins/two.py",
]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("pkg.b", ["b.py"]),
        ("pkg.c", ["b.py", "c.py"]),
        ("pkg.deep.f", ["deep/f.py", "deep/query.sql"]),
        ("pkg.deep.e", ["b.py", "c.py", "deep/e.py", "deep/f.py", "deep/query.sql"]),
        ("pkg.a", ["a.py", "b.py", "c.py", "d.py", "deep/e.py", "deep/f.py", "deep/query.sql"]),
        ("pkg.registry", ["b.py", "c.py", *PLUGINS, "registry.py"]),
        ("pkg.registry2", ["b.py", "c.py", *PLUGINS, "registry2.py"]),
        ("pkg.registry3", ["b.py", "c.py", *PLUGINS, "registry3.py"]),
        (
            "pkg.registry4",
            ["b.py", "c.py", *PLUGINS[1:4], "registry4.py"],
        ),
        ("pkg.circle", ["circle.py"]),
    ],
)
def test_the_closure_is_what_is_imported_wherever_that_is_written(
    root: Path, module: str, expected: list[str]
) -> None:
    assert names(root, module) == expected


def test_a_module_that_is_not_there_has_no_fingerprint(root: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no module pkg\.none in .*pkg"):
        fingerprint("pkg.none", root)


def edited(root: Path, name: str, text: str) -> bool:
    """Does the fingerprint of `pkg.a` change with the text of a file?"""
    before = fingerprint("pkg.a", root)
    (root / name).write_text(text)
    return fingerprint("pkg.a", root) != before


SAME = [
    # comments, blank lines, docstrings of modules and functions, formatting
    "def one(x):\n    return x + 1\n",
    '"""Another."""\n\n\ndef one(x):\n    """Words."""\n    return (x\n        + 1)  # why\n',
    "def one(x):\n    return x + 0x1",
]
OTHER = [
    "def one(x):\n    return x + 2",
    "def one(x):\n    return x - 1",
    "def one(y):\n    return y + 1",
    "def one(x, y=None):\n    return x + 1",
    "def one(x):\n    return x + 1.0",
    "def one(x):\n    return x + True",
    "def one(x):\n    return",
    "def one(x):\n    return None",
    "def one(x):\n    return 'x'",
    "def one(x):\n    return b'x'",
    "def one(x):\n    return [x + 1]",
    "async def one(x):\n    return x + 1",
    "@print\ndef one(x):\n    return x + 1",
    "def one(x: int):\n    return x + 1",
    "def one(x):\n    return x + 1\nTWO = 2",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_comments_docstrings_and_layout_do_not_count(root: Path, text: str) -> None:
    assert not edited(root, "b.py", text)


@pytest.mark.parametrize("text", OTHER)
def test_code_counts(root: Path, text: str) -> None:
    assert edited(root, "b.py", text)


def test_different_code_has_different_fingerprints(root: Path) -> None:
    found = set()
    for text in OTHER:
        (root / "b.py").write_text(text)
        found.add(fingerprint("pkg.a", root))
    assert len(found) == len(OTHER)


def test_the_description_below_a_field_does_not_count_but_its_default_does(root: Path) -> None:
    assert edited(root, "b.py", 'class One:\n    size: int = 3\n    """Side in pixels."""\n')
    assert not edited(root, "b.py", 'class One:\n    size: int = 3\n    """Edge, pixels."""\n')
    assert edited(root, "b.py", 'class One:\n    size: int = 4\n    """Edge, pixels."""\n')


def test_a_text_that_is_used_counts(root: Path) -> None:
    assert edited(root, "b.py", 'ONE = """Words."""\n')
    assert edited(root, "b.py", 'ONE = """Other words."""\n')


def test_files_that_are_not_python_count_with_their_package(root: Path) -> None:
    assert edited(root, "deep/query.sql", "select 2")
    assert edited(root, "deep/page.html", "<p>")


@pytest.mark.parametrize("name", ["e.py~", ".e.py.swp", "#e.py#", ".DS_Store", "e.pyc"])
def test_backups_and_hidden_files_do_not_count(root: Path, name: str) -> None:
    assert not edited(root, f"deep/{name}", "anything")


def test_what_is_not_imported_does_not_count(root: Path) -> None:
    assert not edited(root, "unused.py", "import pkg.b")
    assert not edited(root, "plugins/one.py", "ONE = 1")


def test_an_edit_within_one_tick_of_the_clock_is_seen_by_its_size(root: Path) -> None:
    stamp = (root / "b.py").stat().st_mtime_ns
    fingerprint("pkg.a", root)
    (root / "b.py").write_text(FILES["b.py"] + "TWO = 2\n")
    os.utime(root / "b.py", ns=(stamp, stamp))
    assert edited(root, "b.py", FILES["b.py"])


def test_where_the_package_lies_and_when_it_was_written_do_not_count(
    root: Path, tmp_path: Path
) -> None:
    before = fingerprint("pkg.a", root)
    moved = tmp_path / "else where" / "pkg"
    moved.parent.mkdir()
    root.rename(moved)
    for file in moved.rglob("*.py"):
        os.utime(file, (0, 0))
    assert fingerprint("pkg.a", moved) == before


def test_a_renamed_module_counts(root: Path) -> None:
    before = fingerprint("pkg.a", root)
    (root / "b.py").rename(root / "bb.py")
    (root / "a.py").write_text(FILES["a.py"].replace("pkg.b ", "pkg.bb "))
    (root / "c.py").write_text(FILES["c.py"].replace("pkg.b", "pkg.bb"))
    assert fingerprint("pkg.a", root) != before


def test_the_text_of_a_tree_is_the_same_in_all_versions_of_python(root: Path) -> None:
    # Written down once: a change means that every result of every user is computed anew.
    assert fingerprint("pkg.a", root) == "447ae89ad68c6773"


# --- this package -------------------------------------------------------------------------------

FORBIDDEN = {
    "prepare": ("models", "training", "evaluation", "similarity", "reporting"),
    "pretrain": ("similarity", "reporting", "data/providers", "data/preparation"),
    "features": ("training", "reporting", "data/providers", "data/preparation"),
    "similarity": ("data", "models", "training", "evaluation", "reporting"),
    "scores": ("data", "models", "training", "evaluation", "reporting"),
    "finetune": ("similarity", "reporting", "data/providers", "data/preparation"),
    "deploy": ("training", "similarity", "reporting", "data/providers", "data/preparation"),
    "forgetting": ("training", "similarity", "reporting", "data/providers", "data/preparation"),
    "collect": ("data", "models", "training", "evaluation", "similarity", "reporting/exhibits"),
    "report": ("data", "models", "training", "evaluation", "similarity", "reporting/database"),
}
LEAVES = {
    *("image_files", "shares"),
    *("model", "dataset", "source", "recipe", "head_init"),
    *("backbone", "backbone_names", "compute"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_what_it_has_business_with(stage: str) -> None:
    files = names(ROOT, f"fastpipe.stages.{stage}")
    strangers = [file for file in files for part in FORBIDDEN[stage] if file.startswith(part)]
    assert strangers == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_parses_only_its_own_spec(stage: str) -> None:
    files = names(ROOT, f"fastpipe.stages.{stage}")
    config = {
        file.removeprefix("config/").removesuffix(".py") for file in files if "config/" in file
    }
    assert config <= LEAVES
    others = {f"stages/{other}.py" for other in STAGES if other != stage}
    assert others.isdisjoint(files)


def test_housekeeping_reruns_nothing_and_uses_nothing_that_would() -> None:
    for file in HOUSEKEEPING:
        module = f"fastpipe.{file.removesuffix('.py').replace('/', '.')}"
        text = (ROOT / file).read_text()
        assert closure(module) == [], file
        used = set(re.findall(r"^\s*(?:from|import) fastpipe\.([\w.]+)", text, re.MULTILINE))
        own = {f"{name.replace('.', '/')}.py" for name in used}
        assert own <= HOUSEKEEPING | {"files.py"}, file
    assert all(HOUSEKEEPING.isdisjoint(names(ROOT, f"fastpipe.stages.{s}")) for s in STAGES)


def test_every_stage_has_its_own_fingerprint() -> None:
    assert len({fingerprint(f"fastpipe.stages.{stage}") for stage in STAGES}) == len(STAGES)


def test_package_init_files_are_empty() -> None:
    # They are no part of a closure, so nothing may stand in them.
    assert [file for file in ROOT.rglob("__init__.py") if file.read_text().strip()] == []
