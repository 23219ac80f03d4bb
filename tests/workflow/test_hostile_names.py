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


def test_a_run_with_hostile_names_executes_none_of_them(elsewhere, tmp_path, tally):
    site = type(elsewhere)(tmp_path / f"work {HOSTILE[0]} {HOSTILE[3]} {{x}}", elsewhere.code)
    (site.folder / "config").mkdir(parents=True)
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
    declared = {
        "settings": {"downloads": f"down {HOSTILE[2]} {HOSTILE[1]}"},
        "datasets": {
            "hostile": {
                "providers": [{"kind": "folder", "path": folder.name}],
                **{"size": 12, "channels": 1, "classes": names, "validation_per_class": 1},
            }
        },
        "studies": {"demo": {"title": title, "description": title}},
    }
    text = json.dumps(declared, ensure_ascii=False)  # YAML knows no halves of an emoji
    (site.folder / "config/hostile.yaml").write_text(text)
    config = site.folder / f"-c {HOSTILE[1]}.yaml"
    config.write_text("{}")
    done = site.run("results/datasets/hostile/card.json", "--configfile", f"./{config.name}")
    assert done == {"prepare datasets/hostile"}
    card = json.loads(site.path("datasets/hostile/card.json").read_text())
    assert card["classes"] == names
    assert [*tmp_path.rglob("CANARY*"), *Path.cwd().glob("CANARY*")] == []
    tally.add("names of real runs", 2 * len(HOSTILE) + 4)
    tally.add("effects", 0)
    shutil.rmtree(site.folder)
