"""The command lines of check_fuzz.py, verb by verb, and the files that they may write."""

from __future__ import annotations

TRAIN, VAL = "coco/annotations/instances_train.json", "coco/annotations/instances_val.json"
ROWS = tuple(f"study/rows/search-00000{ordinal}.json" for ordinal in range(3))
LAWS = tuple(f"laws/rows/search-00000{ordinal}.json" for ordinal in (0, 4, 8))
COMMANDS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    # verb: (command line, the files of which one is mutated)
    "search": (
        ("search plan.yaml --out out/s", ("plan.yaml", "plan.yaml", "graph.yaml", TRAIN, VAL, "coco/train/1.png")),
        ("search study/plan.yaml --data coco --out study", ("study/plan.yaml", *ROWS)),
    ),
    "train": (
        ("train design.yaml --data coco --recipe recipe.yaml --out out/t", ("design.yaml", "recipe.yaml", TRAIN)),
        (
            "train design.json --data coco --recipe recipe.yaml --weights weights.safetensors --out out/t",
            ("design.json", "weights.safetensors", VAL, "coco/train/0.png"),
        ),
        ("train design.yaml --data coco --recipe recipe.yaml --weights plain.pth --out out/t", ("plain.pth",)),
        ("train design.yaml --data coco --recipe recipe.yaml --out run", ("run/last.pt",)),
        ("train --from study --top 1 --data coco", ("study/plan.yaml", *ROWS)),
    ),
    "eval": (
        ("eval run --data coco --json", ("run/last.pt", VAL, "coco/val/0.png")),
        ("eval plain.pth --design design.yaml --data coco", ("plain.pth", "design.yaml")),
        ("eval weights.safetensors --data coco", ("weights.safetensors",)),
    ),
    "predict": (
        ("predict run coco/val -o out/p --score 0.1", ("run/last.pt", "coco/val/1.png")),
        ("predict weights.safetensors coco/val/0.png -o out/p", ("weights.safetensors", "coco/val/0.png")),
    ),
    "export": (
        ("export run -o out.safetensors", ("run/last.pt",)),
        ("export plain.pth --design design.json -o out.safetensors", ("plain.pth", "design.json")),
        ("export weights.safetensors -o out.onnx --opset 99", ()),
    ),
    "cost": (
        ("cost design.yaml design.json row.json --json", ("design.yaml", "design.json", "row.json")),
        ("cost d0 --table table.json", ("table.json",)),
        ("cost plan.yaml --csv --classes 3", ("plan.yaml", "graph.yaml")),
        ("cost d0 d1 --size 64x96 --plot out.svg", ()),
        ("cost design.json --check", ("design.json",)),
    ),
    "draw": (
        ("draw graph.yaml -o out.svg", ("graph.yaml",)),
        ("draw row.json -o out.svg --fusion sum", ("row.json",)),
        ("draw bifpn -o out.png --levels 3..6", ()),
    ),
    "anchors": (("anchors design.yaml --data coco --split val --size 64x64", ("design.yaml", VAL)),),
    "measure": (("measure design.json --threads 1 --backend nothing", ("design.json",)),),  # a true one takes 15 s
    "calibrate": (("calibrate --threads 1 --device tpu --batch 1 -o out.json", ()),),
    "space": (
        ("space plan.yaml --count 3 --classes 2 --seed 1", ("plan.yaml", "graph.yaml")),
        ("space timed.yaml --classes 2 --json", ("timed.yaml", "table.json")),
    ),
    "rehearse": (
        ("rehearse plan.yaml --seeds 1 --trials 2 --samplers random,tpe -o reh", ("plan.yaml", "reh/runs.jsonl")),
        ("rehearse study --seeds 1 --samplers random --no-ladder", ("study/plan.yaml", *ROWS)),
        ("rehearse points.csv --seeds 1 --trials 2 --samplers random --band macs=10%..90%", ("points.csv",)),
        ("rehearse points.parquet --seeds 1 --trials 2 --samplers tpe -o out/r", ("points.parquet",)),
    ),
    "fit": (
        (
            "fit laws.csv --budgets 3M,6M --design design.yaml -o out/family.yaml",
            ("laws.csv", "laws.csv", "design.yaml"),
        ),
        ("fit laws.parquet --flops-are twice --json", ("laws.parquet",)),
        ("fit laws --budgets 3M,6M -o out/family.yaml", ("laws/plan.yaml", *LAWS)),
    ),
    "audit": (
        ("audit points.csv", ("points.csv",)),
        ("audit points.parquet --json", ("points.parquet",)),
        ("audit laws", LAWS),
        ("audit points.csv --against points.parquet", ("points.csv", "points.parquet")),
        ("audit laws --against study --json", (LAWS[0], *ROWS)),
    ),
    "init": (
        ("init coco -o out/first.yaml --minutes 1", ("coco", "coco", "coco", TRAIN, VAL, "coco/train/0.png")),
        ("init coco --splits train,val -o out/first.yaml --minutes 1", ("coco",)),
    ),
    "report": (("report study", ("study/plan.yaml", *ROWS, "study/rows/baseline-plain-s0.json")),),
}
OURS = ("out", "reh", "run", "study", "results", "cache")
"""Where the commands write: their own folders. Of a study's, rows that are there and the plan stay as they are."""
SHARE = {"search": 1.2, "train": 2, "calibrate": 0.3, "measure": 0.5, "rehearse": 1.5, "fit": 1.5, "audit": 1.5}
"""Inputs of a verb, where an even share is 1."""
