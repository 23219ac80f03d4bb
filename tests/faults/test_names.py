"""Row 21: hostile names become folders by safe ids alone, or are refused; none is obeyed."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fastpipe.cli import app
from fastpipe.config.load import load
from fastpipe.config.names import RESULTS
from fastpipe.config.plan import Plan
from fastpipe.config.problems import ConfigurationError
from fastpipe.errors import UserError, printable
from fastpipe.files import read_json
from fastpipe.stages.prepare import PrepareSpec, prepare

ROOT = Path(__file__).parents[2]

NAMES = [
    *("a b", " lead", "trail ", "'", '"', "it's", ";", "a;touch CANARY", "&& touch CANARY"),
    *(
        "$(touch CANARY)",
        "`touch CANARY`",
        "${HOME}",
        "$HOME",
        "| touch CANARY",
        "> CANARY",
        "a\nb",
    ),
    *("a\n  b: c", "\t", "\r", "{x}", "{{", "}", "{wildcards}", "{0.__class__}", "%s", "-rf"),
    *("--help", "-", "../evil", "..", ".", "...", "a/../b", "/etc/passwd", "~", "~root", "a/b"),
    *("a\\b", "C:\\x", "x" * 300, "é" * 200, "🦉", "👩‍👩‍👧", "\u202egnp.exe", "\u200b", "\ufeff"),
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\x7f", "NUL", "con", "a\0b", "null", "~", "no"),
    *("1e-3", "@", "a@b", "a+b", "a=b", "*", "?", "[a]", "#", "!x", "&a", "<b>", "a:b", "", "."),
    *("a.", "a..b", "_", "_a", "a" * 64, "a" * 65, "ａ", "Ⅳ", "ſ"),
]

BASE = {
    "datasets": {"own": {"providers": [{"kind": "sklearn", "name": "digits"}], "size": 28,
                         "channels": 1}},
    "sources": {"net": {"dataset": "own", "snapshots": [0, 1], "epochs": 1}},
    "recipes": {"plain": {}},
    "studies": {"demo": {"title": "T", "arms": {
        "first": {"recipe": "plain", "snapshots": ["net@1"], "targets": ["own"]}}}},
}  # fmt: skip
ARM = BASE["studies"]["demo"]["arms"]["first"]


def study(**fields) -> dict:
    return {"studies": {"demo": fields}}


KEYS = {
    "dataset": lambda name: {"datasets": {name: BASE["datasets"]["own"]}} | study(
        arms={"first": {"targets": [name]}}),
    "source": lambda name: {"sources": {name: BASE["sources"]["net"]}} | study(
        arms={"first": {"snapshots": [f"{name}@1"]}}),
    "recipe": lambda name: {"recipes": {name: {}}} | study(arms={"first": {"recipe": name}}),
    "study": lambda name: {"studies": {name: BASE["studies"]["demo"]}},
    "arm": lambda name: study(arms={name: ARM}),
    "scale": lambda name: study(scales={"demo": {}, name: {}}),
}  # fmt: skip
"""Names that become folders or targets."""

REFERENCES = {
    "target": lambda name: study(arms={"first": {"targets": [name]}}),
    "snapshot": lambda name: study(arms={"first": {"snapshots": [name]}}),
    "recipe asked for": lambda name: study(arms={"first": {"recipe": name}}),
    "include": lambda name: study(includes=[name]),
    "renamed": lambda name: study(scales={"demo": {"rename": {"own": name}}}),
    "rate": lambda name: study(scales={"demo": {"rates": {name: 0.1}}}),
    "claim": lambda name: study(claims=[name]),
    "exhibit": lambda name: study(exhibits=[name]),
    "override": lambda name: study(arms={"first": {"overrides": {name: 1}}}),
    "overridden": lambda name: study(arms={"first": {"overrides": {"optimiser": name}}}),
    "package": lambda name: {"datasets": {"own": {"providers": [
        {"kind": "packages", "registry": "npm", "package": name}]}}},
    "version": lambda name: {"datasets": {"own": {"providers": [
        {"kind": "packages", "registry": "npm", "package": "a", "version": name}]}}},
    "key": lambda name: {"recipes": {"plain": {name: 1}}},
    "section": lambda name: {name: {}},
    "hash": lambda name: {"datasets": {"own": {"sha256": {"file": name}}}},
}  # fmt: skip
"""Names that must be among those there are."""

TEXTS = {
    "title": lambda name: study(title=name),
    "description": lambda name: study(description=name),
    "class": lambda name: {"datasets": {"own": {"classes": ["0", name]}}},
    "class left out": lambda name: {"datasets": {"own": {"without_classes": [name]}}},
    "folder": lambda name: {"datasets": {"own": {"providers": [
        {"kind": "sklearn", "name": "digits"}, {"kind": "folder", "path": name}]}}},
    "downloads": lambda name: {"settings": {"downloads": name}},
    "folder of torchvision": lambda name: {"datasets": {"own": {"providers": [
        {"kind": "torchvision", "name": "MNIST", "root": name}]}}},
    "file of weights": lambda name: {"sources": {"net": {
        "library": "file", "weights": name, "backbone": {"name": "resnet18"}}}},
}  # fmt: skip
"""Free texts, which reach no shell unquoted and no path but as declared."""

FIELDS = KEYS | REFERENCES | TEXTS


def planned(tmp_path: Path, name: str, field: str) -> Plan | str:
    """The plan with a name in a field, or what the configuration is refused with."""
    base, more = tmp_path / "base.json", tmp_path / "more.json"
    base.write_text(json.dumps(BASE))
    more.write_text(json.dumps(FIELDS[field](name)))
    try:
        return Plan(load([base, more]))
    except ConfigurationError as error:
        return str(error)


@pytest.mark.fault(21)
@pytest.mark.parametrize("field", FIELDS)
def test_a_name_is_safe_or_refused_with_its_place(tmp_path, monkeypatch, field, tally):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for name in NAMES:
        found = planned(tmp_path, name, field)
        if isinstance(found, str):
            assert re.search(r"problems?:\n(.*\n)*  .*more\.json:1:\d+: ", found), found
            assert shows_harmless(found), ascii(found)
        else:
            assert field not in KEYS or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name)
            for job in found.jobs("demo"):
                parts = job.folder.parts
                assert parts[0] == str(RESULTS) and not {"..", "."} & set(parts)
                assert re.fullmatch(r"[A-Za-z0-9._@+=,/-]+", str(job.folder))
        tally.add("names × fields")
    assert {path.name for path in tmp_path.iterdir()} == {"base.json", "more.json", "config"}
    tally.add("effects", 0)


def shows_harmless(text: str) -> bool:
    """No sign that a terminal obeys, but line ends and emoji's joiners."""
    return not [
        sign
        for sign in text
        if sign not in "\n\u200d\u200c" and unicodedata.category(sign) in ("Cc", "Cf", "Cs")
    ]


@pytest.mark.fault(21)
def test_refused_names_are_those_that_could_be_anything_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taken = {name for name in NAMES if not isinstance(planned(tmp_path, name, "dataset"), str)}
    assert taken == {"NUL", "con", "null", "no", "1e-3", "a..b", "a" * 64}


@pytest.mark.fault(21)
def test_names_that_differ_only_in_case_are_refused(tmp_path):
    for section in ("datasets", "sources", "recipes", "studies"):
        (name,) = BASE[section]
        more = {section: {name.upper(): BASE[section][name]}}
        for number, content in enumerate((BASE, more)):
            (tmp_path / f"{number}.json").write_text(json.dumps(content))
        with pytest.raises(ConfigurationError, match=r"only in case; both name one folder"):
            load([tmp_path / "0.json", tmp_path / "1.json"])


# --- files and folders ----------------------------------------------------------------------------


def file_names() -> list[str]:
    """Names that a file system takes."""
    taken = {name.replace("/", "∕").encode()[:240].decode(errors="ignore") for name in NAMES}
    return sorted(name for name in taken if "\0" not in name and name.strip(".") and name != "")


@pytest.mark.fault(21)
def test_any_file_and_class_folder_is_an_image_and_a_class(tmp_path, monkeypatch, tally):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "$(touch CANARY); `touch CANARY` {x} -rf"
    names = [name for name in file_names() if unicodedata.is_normalized("NFC", name)]
    noise = np.random.default_rng(0)
    for name in names:
        for number in range(4):
            path = root / ("train", "test")[number % 2] / name / f"{number}{name[:60]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(256, size=(4, 4), dtype=np.uint8)).save(path)
        (root / "test" / name / f"broken{name[:60]}.png").write_bytes(b"")
    spec = {"dataset": "own", "providers": [{"kind": "folder", "path": root.name}], "size": 4}
    spec |= {"channels": 1, "skip_corrupt": True, "validation_per_class": 1}
    prepare(
        PrepareSpec.model_validate_json(json.dumps(spec)),
        out=tmp_path / "out", downloads=tmp_path / "downloads", work=tmp_path / "work",
        identity=dict.fromkeys(("train", "val", "test"), "i"),
    )  # fmt: skip
    card = read_json(tmp_path / "out/card.json")
    shown = [name for name in names if not name.startswith(".")]
    assert card["classes"] == sorted(shown)
    assert card["unreadable_count"] == len(shown)
    assert not list(tmp_path.rglob("CANARY*"))
    tally.add("names of files and classes", 2 * len(shown))


@pytest.mark.fault(21)
def test_a_file_whose_name_is_no_text_is_told(tmp_path):
    for name in ("a", "b"):
        for number in range(4):
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 9 * number).save(path)
    (tmp_path / "images/a" / b"\xff\x1b[2J.png".decode(errors="surrogateescape")).write_bytes(b"")
    spec = {"dataset": "own", "channels": 1, "size": 4, "validation_per_class": 1}
    spec |= {"providers": [{"kind": "folder", "path": str(tmp_path / "images")}]}

    def run(**options) -> None:
        prepare(
            PrepareSpec.model_validate_json(json.dumps(spec | options)),
            out=tmp_path / "out", downloads=tmp_path / "downloads", work=tmp_path / "work",
            identity=dict.fromkeys(("train", "val", "test"), "i"),
        )  # fmt: skip

    with pytest.raises(UserError, match=r"1 images cannot be read:\n  'a/\\udcff\\x1b\[2J\.png'"):
        run()
    run(skip_corrupt=True)
    assert read_json(tmp_path / "out/card.json")["unreadable_count"] == 1


# --- what is printed ------------------------------------------------------------------------------


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Äpfel\nand 🦉 👩‍👩‍👧", "plain, Äpfel\nand 🦉 👩‍👩‍👧"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]8;;http://x\x07link", r"\x1b]8;;http://x\x07link"),
        ("a\rb\x08c\td\x9be", r"a\rb\x08c\td\x9be"),
        ("\u202egnp.exe\u2028\ufeff\u200b", r"\u202egnp.exe\u2028\ufeff\u200b"),
        ("\udcff", r"\udcff"),
    ],
)
def test_messages_hold_nothing_that_a_terminal_obeys(text, shown):
    assert printable(text) == shown == str(UserError(text))
    assert shows_harmless(shown)


@pytest.mark.fault(30)
def test_check_prints_no_escape_sequence(tmp_path, monkeypatch):
    folder = tmp_path / "\x1b[2Jimages"
    for name in ("a\x1b[31m", "b"):
        for number in range(4):
            path = folder / name / f"{number}\x1b]0;x\x07.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
        (folder / name / "broken\x1b[5m.png").write_bytes(b"")
        (folder / name / "notes.\x1b[6m").write_bytes(b"")
    own = {"providers": [{"kind": "folder", "path": str(folder)}], "size": 28, "channels": 1}
    config = BASE | {"settings": {"default_study": "demo", "downloads": "\x1b[1md"}}
    config |= {"datasets": {"own": own}}
    (tmp_path / "c\x1b[7m.yaml").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["check", "demo", "--configfile", "c\x1b[7m.yaml"])
    assert isinstance(done.exception, UserError)
    assert r"broken\x1b[5m.png" in str(done.exception)
    assert r"left out: 2 .\x1b[6m" in done.output
    assert "\x1b" not in done.output + str(done.exception)


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.fault(21)
def test_every_argument_of_a_shell_command_is_quoted_and_part_of_an_option():
    """`:q` drops empty texts and lets a leading dash through, so each follows its `--name=`."""
    texts = [path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")]]
    commands = [
        command for text in texts for command in re.findall(r"\n    shell:\n((?: {8}.*\n?)+)", text)
    ]
    assert len(commands) == 10
    for command in commands:
        used = re.findall(r"(\S*\s?)\{([^{}]*)\}", command)
        assert used
        for before, name in used:
            assert name.endswith(":q"), (command, name)
            assert re.fullmatch(r'"?(--[a-z]+=|> |.*%s\' )', before), (command, before)
