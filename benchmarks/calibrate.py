"""`smallfirst plan calibrate` against an engine in real time whose costs are known: what it measures, and how far off the fitted model is.

20 ms a step, 0.2 ms a prompt token, 2 ms an answer, 16 at once. Two minutes, little CPU: `python -m benchmarks.calibrate`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.paced_engine import PacedEngineThread

_ARGUMENTS = "--model paced --own qwen2.5-0.5b --gpu other --max-sequences 16 --input-tokens 200 --output-tokens 20 --seconds 4 --first-rate 2"


def main() -> None:
    """Runs it, with further options from the command line."""
    with PacedEngineThread(step_s=0.02, prompt_token_s=0.0002, sequence_s=0.002, most=16) as engine:
        program = [
            str(Path(sys.executable).with_name("smallfirst")),
            "plan",
            "calibrate",
            "--endpoint",
            engine.base_url,
        ]
        subprocess.run([*program, *_ARGUMENTS.split(), *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
