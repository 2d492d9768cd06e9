"""The house: imports point downwards, files stay short, nothing below apps/ prints."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src" / "bandwise"
# A module may import from its own layer's folder and from any folder further down this list.
LAYERS = [
    {"apps"},
    {"baselines"},
    {"training", "inference"},
    {"evaluation"},
    {"packing", "splits", "settings", "models"},
    {"extraction"},
    {"store"},
    {"corpora", "audio", "paper"},
    {"progress", "files"},
    {"errors"},
]
LEVEL = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def modules():
    return [path for path in SRC.rglob("*.py") if path != SRC / "__init__.py"]


def part(path):
    relative = path.relative_to(SRC)
    return relative.parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bandwise."):
            yield node.module.split(".")[1]


def test_imports_point_downwards():
    wrong = []
    for path in modules():
        own = part(path)
        for target in imports(path):
            if target != own and LEVEL[target] < LEVEL[own]:
                wrong.append(f"{path.relative_to(SRC)} imports bandwise.{target}")
    assert not wrong, wrong


def test_models_know_no_files_and_corpora_no_models():
    for path in modules():
        if part(path) == "models" and path.name != "bundle.py":
            assert not {"audio", "corpora", "store"} & set(imports(path)), path
        if part(path) == "corpora":
            assert not {"models", "training", "store"} & set(imports(path)), path


def test_files_stay_short():
    long = {str(p.relative_to(SRC)): n for p in modules() if (n := len(p.read_text().splitlines())) > 320}
    assert not long, long


def test_nothing_below_apps_prints():
    for path in modules():
        if part(path) == "apps":
            continue
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"], path
