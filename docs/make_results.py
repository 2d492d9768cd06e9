"""Draws docs/results.md from the result.json files in experiments/results: no figure in it is typed by hand.

python docs/make_results.py                  renew docs/results.md
python docs/make_results.py --add RUN NAME   copy a run's result.json to experiments/results/NAME.json first
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

from scipy.stats import t

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "experiments" / "results"

HEAD = """# Results

Everything here is made by `docs/make_results.py` from the `result.json` files in
[experiments/results](../experiments/results): each holds the configuration, the seed, the versions, the commit and the
figures of every fold.

**{caveat}** Its figures say how the systems compare on accompaniment; they say nothing of how any
of them would do on recordings. None of them is a figure of the paper, whose corpora (GTZAN, Melon) cannot be had on
the machines that build this project.

Ten genres, so chance is 10 %. The accuracy is the mean over folds ± its standard deviation, with the weights of the best
validation epoch; in brackets Student's 95 % interval of that mean. *Last epoch* is the same without choosing.
*Against* is the difference, fold by fold, to the first network of the table with its own 95 % interval: where that
interval holds 0, these folds do not tell the two apart. Training times are of a machine that was busy with other work.
"""

TAIL = """
## How to repeat a line

```sh
bandwise data build mma10 --to data/mma10
bandwise crossval --config experiments/mma10-style.yaml --system ecapa-ccs-fsa-s512-c1024 --out runs/style-ecapa-ccs-fsa
bandwise crossval --config experiments/mma10.yaml --system ecapa --out runs/groove-ecapa
python docs/make_results.py --add runs/groove-ecapa groove-ecapa
```

`experiments/mma10.yaml` is the paper's recipe with {differences}. The networks are of size
`tiny` (channels, attention and SE widths divided by 16), because two CPU cores are what trains them here. The learning
rate was chosen by looking at the validation part of one fold, for ECAPA; nothing else was tuned.

The line *crops cut from the wave* is the published way of cropping, beside bandwise's own, crops of stored frames, on the
same folds: the price of that deviation ([all deviations](paper.md)). It is
`--system ecapa --set recipe.crops=wave`. The lines *tested on 16 crops* are row #16's rule on the weights of the line
above: `bandwise evaluate runs/style-ecapa-ccs-fsa --test crops --test-crops 16`.

## What is missing

The full size, GTZAN and Melon wait for a GPU and for somebody who has the data:
`bandwise reproduce --table 2 --corpus gtzan:/data/gtzan`.
"""


def load() -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def against(mine: dict, other: dict) -> str:
    """The paired difference over folds with its interval, in points."""
    if mine is other or mine["folds"] != other["folds"]:
        return "–"
    a, b = (r["figures"]["best"]["accuracies"] for r in (mine, other))
    differences = [100 * (x - y) for x, y in zip(a, b, strict=True)]
    n, mean = len(differences), sum(differences) / len(differences)
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    half = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def table(results: list[dict]) -> str:
    networks = [r for r in results if r["cost"]["parameters"]]
    base = networks[0]
    lines = [
        "| system | parameters | accuracy % [95 %] | last epoch % | macro-F1 | against | training |",
        "|---|---:|---|---:|---:|---|---:|",
    ]
    for r in results:
        best, last = r["figures"]["best"], r["figures"]["last"]
        low, high = best["accuracy_interval"]
        trained = bool(r["per_fold"][0]["history"])  # else an estimator, or weights tested again
        parameters = f"{r['cost']['parameters']:,}" if r["cost"]["parameters"] else "–"
        lines.append(
            f"| {name(r)} | {parameters} | {percent(best['accuracy_mean'])} ± {percent(best['accuracy_sd'])} "
            f"[{percent(low)}, {percent(high)}] | {percent(last['accuracy_mean']) if trained else '–'} | "
            f"{best['macro_f1']:.3f} | {against(r, base)} | {minutes(r['cost']['train_seconds']) if trained or r not in networks else '–'} |"
        )
    return "\n".join(lines)


def name(result: dict) -> str:
    label = f"`{ORDER[rank(result)[0]]}`"
    recipe = result["experiment"]["recipe"]
    if recipe["crops"] == "wave":
        label += ", crops cut from the wave"
    if recipe["test"] == "crops":
        label += f", tested on {recipe['test_crops']} crops"
    return label


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def recall(results: list[dict]) -> str:
    genres = results[0]["corpus"]["genres"]
    lines = [
        "| recall, % | " + " | ".join(genres) + " |",
        "|---|" + "---:|" * len(genres),
    ]
    for r in results:
        cells = (percent(value) for value in r["figures"]["best"]["recall"])
        lines.append(f"| {name(r)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


ORDER = ("mfcc-svm", "ecapa", "ecapa-ccs-s512-c1024", "ecapa-ccs-fsa-s512-c1024")


def rank(result: dict) -> tuple:
    recipe = result["experiment"]["recipe"]
    return (
        ORDER.index(result["experiment"]["system"].replace("#16", ORDER[3])),
        recipe["crops"],
        recipe["test"] == "crops",
    )


def section(title: str, words: str, results: list[dict]) -> str:
    results = sorted(results, key=rank)
    folds = results[0]["folds"]
    facts = (
        f"{folds['count']} folds, {folds['scheme']}; {results[0]['corpus']['tracks']:,} clips. "
        f"Trained on {networks_device(results)}."
    )
    return f"## {title}\n\n{words}\n\n{facts}\n\n{table(results)}\n\n{recall(results)}\n"


def networks_device(results: list[dict]) -> str:
    device = next(r["cost"]["device"] for r in results if r["cost"]["parameters"])
    return device.replace("1 threads", "one thread")


def make() -> str:
    results = load()
    by_group = {group: [r for r in results.values() if r["folds"]["group"] == group] for group in ("style", "groove")}
    any_result = next(iter(results.values()))
    differences = next(
        d.removeprefix("recipe: ") for d in any_result["paper"]["differences"] if d.startswith("recipe: ")
    )
    return "\n".join(
        [
            HEAD.format(caveat=any_result["corpus"]["caveat"]),
            section(
                "Folds by style file",
                "The honest question: no groove of a style file that is tested was heard in training. Style files are "
                "the nearest thing to an artist that mma10 knows.",
                by_group["style"],
            ),
            section(
                "Folds by groove",
                "Easier: a groove is never shared, but its neighbours in the same style file, by the same arranger and "
                "often with the same instruments, may be. The distance to the table above is what knowing the arranger "
                "is worth.",
                by_group["groove"],
            ),
            TAIL.format(differences=differences).strip(),
            "",
        ]
    )


def main() -> None:
    if sys.argv[1:2] == ["--add"]:
        run, called = sys.argv[2:4]
        RESULTS.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(run) / "result.json", RESULTS / f"{called}.json")
    (HERE / "results.md").write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
