"""Row 21 by a real snakemake run: hostile folders, classes, files, texts; none is executed."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.workflow, pytest.mark.fault(21)]

HOSTILE = [
    "$(touch CANARY1)",
    "`touch CANARY2`",
    "; touch CANARY3 #",
    "' && touch CANARY4 '",
    '" || touch CANARY5 "',
    "{wildcards} {{x}} {x!r} {input:q}",
    "-rf --help",
    "a\nb\ttouch CANARY6",
    "> CANARY7 | touch CANARY8 &",
    "🦉 </script> %s \\",
]


def test_a_run_with_hostile_names_executes_none_of_them(built, tmp_path, tally):
    site = built.copy(tmp_path / f"work {HOSTILE[0]} {HOSTILE[3]} {{x}}")
    folder = site.folder / f"images {''.join(HOSTILE[:6])}"[:200]
    for place, name in enumerate(HOSTILE):
        for number in range(4):
            path = (
                folder
                / name.replace("/", "∕")
                / f"{number} {HOSTILE[-place][:60]}.png".replace("/", "∕")
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (12, 12), 20 * place + number).save(path)
    names = sorted(path.name for path in folder.iterdir())
    title = " ".join(HOSTILE)
    site.configure(
        {
            "settings": {"downloads": f"down {HOSTILE[2]} {HOSTILE[1]}"},
            "datasets": {
                "hostile": {
                    "providers": [{"kind": "folder", "path": folder.name}],
                    **{"size": 12, "channels": 1, "classes": names, "validation_per_class": 1},
                }
            },
            "studies": {"tiny": {"title": title, "description": title}},
        }
    )
    config = site.folder / f"-c {HOSTILE[1]}.yaml"
    config.write_text("{}")
    done = site.run(
        "results/datasets/hostile/card.json", "results/studies/tiny/report.html",
        "--configfile", f"./{config.name}",
    )  # fmt: skip
    assert done == {"prepare datasets/hostile", *site.summary()}
    card = json.loads(site.path("datasets/hostile/card.json").read_text())
    assert card["classes"] == names
    assert "touch CANARY1" in site.path("studies/tiny/report.html").read_text()
    assert [*tmp_path.rglob("CANARY*"), *Path.cwd().glob("CANARY*")] == []
    tally.add("names of real runs", 2 * len(HOSTILE) + 4)
    tally.add("effects", 0)
    shutil.rmtree(site.folder)
