import math
from pathlib import Path

import pytest

from fastpipe.config.problems import Place
from fastpipe.config.yaml_text import Document, read_yaml


def read(folder: Path, text: str | bytes) -> Document:
    path = folder / "f.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def told(folder: Path, text: str | bytes) -> list[str]:
    """Problems of a file that holds `text`, without its folder."""
    return [str(p).removeprefix(f"{folder}/") for p in read(folder, text).problems]


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("+1e-8", 1e-8),
        (".5", 0.5),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("no", "no"),
        ("On", "On"),
        ("y", "y"),
        ("true", True),
        ("12:30:45", "12:30:45"),
        ("2020-01-02", "2020-01-02"),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        (".inf", math.inf),
        ("[1, {b: no}]", [1, {"b": "no"}]),
        ("1.2.6", "1.2.6"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(tmp_path: Path, text: str, value: object) -> None:
    document = read(tmp_path, f"a: {text}")
    assert document.problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_keys_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, "1: a\nno: b\n1e-3: c\n~: d").data == {
        "1": "a",
        "no": "b",
        "1e-3": "c",
        "~": "d",
    }


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffa: 1").data == {"a": 1}


@pytest.mark.parametrize("text", ["", "---\n", "# nothing but a comment\n", "null"])
def test_an_empty_file_holds_nothing(tmp_path: Path, text: str) -> None:
    document = read(tmp_path, text)
    assert (document.data, document.problems) == (None, [])


def test_places_are_those_of_keys_and_of_values_in_lists(tmp_path: Path) -> None:
    text = "a:\n  b: {c: 1,  d: 2}\n  e:\n    - 5\n    - [6,\n       7]\n"
    path, places = tmp_path / "f.yaml", read(tmp_path, text).places
    assert places == {
        (): Place(path, 1, 1),
        ("a",): Place(path, 1, 1),
        ("a", "b"): Place(path, 2, 3),
        ("a", "b", "c"): Place(path, 2, 7),
        ("a", "b", "d"): Place(path, 2, 14),
        ("a", "e"): Place(path, 3, 3),
        ("a", "e", 0): Place(path, 4, 7),
        ("a", "e", 1): Place(path, 5, 7),
        ("a", "e", 1, 0): Place(path, 5, 8),
        ("a", "e", 1, 1): Place(path, 6, 8),
    }


def test_an_alias_repeats_the_value_without_sharing_it(tmp_path: Path) -> None:
    data = read(tmp_path, "a: &x {b: [1]}\nc: *x").data
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert data["a"] is not data["c"]
    assert data["a"]["b"] is not data["c"]["b"]


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\n  \na: 3", "f.yaml:4:1: a: appears twice; the first is on line 1"),
        (
            "x:\n  a: 1\n  'a': 1",
            "f.yaml:3:3: x.a: appears twice; the first is on line 2",
        ),
        (
            "x: &b {a: 1}\ny:\n  <<: *b",
            "f.yaml:3:3: y: has a merge key (<<), which is not allowed",
        ),
        (
            "a: !!python/object/apply:os.system [id]",
            "f.yaml:1:4: a: has the tag !!python/object/apply:os.system, which is not allowed",
        ),
        ("a: !foo {b: 1}", "f.yaml:1:4: a: has the tag !foo, which is not allowed"),
        ("a: [1, !bar [2]]", "f.yaml:1:8: a.1: has the tag !bar, which is not allowed"),
        ("a: !!set {b}", "f.yaml:1:4: a: has the tag !!set, which is not allowed"),
        ("a: !!binary aGk=", "f.yaml:1:4: a: has the tag !!binary, which is not allowed"),
        ("a: &x [*x]", "f.yaml:1:4: a.0: contains itself"),
        ("a: &x {b: {c: *x}}", "f.yaml:1:4: a.b.c: contains itself"),
        ("? [1, 2]\n: 3", "f.yaml:1:3: has a key that is not a plain name"),
        ('"a\\nb": 3', "f.yaml:1:1: has a key that is not a plain name"),
        ("a: !!int x", "f.yaml:1:4: a: cannot be understood: invalid literal for int() with base"),
        ('a: "\\ud800"', "f.yaml:1:4: a: cannot be understood: 'utf-8' codec can't encode"),
        ("%YAML 1.1\n---\na: no", "f.yaml:2:1: is YAML 1.1; only YAML 1.2 is read"),
        ("a:\n\tb: 1", "f.yaml:2:1: is not valid YAML: found character '\\t' that cannot start"),
        ("a: [1,\n", "f.yaml:2:1: is not valid YAML: expected the node content, but found '<str"),
        ("a: 'x", "f.yaml:1:6: is not valid YAML: found unexpected end of stream"),
        ("a: *x", "f.yaml:1:4: is not valid YAML: found undefined alias 'x'"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: is not valid YAML: but found another document"),
        ("a: \x01", "f.yaml: is not valid YAML: unacceptable character #x0001"),
        ("a: " + "[" * 1000 + "]" * 1000, "f.yaml: is nested too deeply"),
        ("a: é".encode("latin-1"), "f.yaml: is not UTF-8 text: unexpected end of data at byte 3"),
    ],
)
def test_what_is_not_plain_yaml_is_a_problem_with_its_place(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    (found,) = told(tmp_path, text)
    assert found.startswith(problem)


def test_all_problems_of_a_file_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\na: 2\nb: !x 3\nc: {d: &y [*y], e: 5}")
    assert len(document.problems) == 3
    assert document.data == {"a": 1, "b": None, "c": {"d": [None], "e": 5}}


@pytest.mark.fault(26)
def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (found,) = told(tmp_path, "\n".join(lines))
    assert found == "f.yaml: has more than 100,000 values, counting aliases"


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert [str(p) for p in read_yaml(tmp_path / "none.yaml").problems] == [
        f"{tmp_path}/none.yaml: cannot be read: No such file or directory"
    ]
    assert [str(p) for p in read_yaml(tmp_path).problems] == [
        f"{tmp_path}: cannot be read: Is a directory"
    ]
