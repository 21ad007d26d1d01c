"""What examples in the prompt are worth to the embedded 135M model: `python -m benchmarks.shots [--rows 120]`.

Ten intents of banking77 (`SMALLFIRST_DATA`), 684 train examples, constrained to the labels: asked without examples, with 4 and with 8, beside a label
head that was trained on the same ones. Through the command line, on calibration rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

_DATA = Path(os.environ.get("SMALLFIRST_DATA", "../shared/data"))
SMALLFIRST = [sys.executable, "-c", "from smallfirst.cli import main; main()"]
CONFIG = """
[storage]
path = "state"

[providers.local]
kind = "embedded"

[providers.heads]
kind = "head"

[providers.nobody]
base_url = "http://127.0.0.1:9/v1"

[models.head]
provider = "heads"
id = "banking"

[models.zero]
provider = "local"
id = "smollm2-135m"

[models.four]
provider = "local"
id = "smollm2-135m"

[models.eight]
provider = "local"
id = "smollm2-135m"

[models.frontier]
provider = "nobody"

[tasks.banking]
instructions = {instructions}
contract = {{ type = "label", labels = {labels} }}
ladder = [
  {{ model = "zero" }},
  {{ model = "four", retrieve = {{ k = 4 }} }},
  {{ model = "eight", retrieve = {{ k = 8 }} }},
  "frontier",
]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=120)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for line in (
            "dataset import rows.jsonl --task banking",
            "train banking --method head --dataset newest --embedder wordllama",
            "train banking --method retrieval",
            f"eval -t banking -m zero -m four -m eight -m head --no-frontier --limit {wanted.rows} -y",
        ):
            print(f"$ smallfirst {line}", flush=True)
            subprocess.run([*SMALLFIRST, *line.split()], cwd=folder, check=True)


def write(folder: Path) -> None:
    """The rows of ten intents, drawn, and the configuration."""
    source = _DATA / "banking77" / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    labels = [label for label, _ in Counter(row["label"] for row in rows).most_common()]
    random.Random(0).shuffle(labels)
    ten = sorted(labels[:10])
    rows = [row for row in rows if row["label"] in ten]
    random.Random(1).shuffle(rows)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    told = f"Sort the customer's message into one of these intents. Answer with the intent alone: {', '.join(ten)}."
    config = CONFIG.format(instructions=json.dumps(told), labels=json.dumps(ten))
    (folder / "smallfirst.toml").write_text(config, "utf-8")


if __name__ == "__main__":
    main()
