"""Kill a short run at random moments, again and again, and show that nothing finished is lost.

    python -m tests.support.kills --kills 100

Each kill is SIGKILL to the manager at a uniformly random moment; the same command then goes on. Checked after every
kill: the journal only grew (no finished block lost), `results.json`, where there is one, is whole and readable.
Whenever a run finishes, the next starts from nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

from depthport.bench.measure import engine
from depthport.bench.results.journal import NAME as JOURNAL_NAME
from tests.bench.measure.test_engine import SHAPE, check_nothing_lost, kill_at
from tests.support.fake_runtime import fake_artifact


def is_finished(out: Path) -> bool:
    """Whether the journal says so: the kill came after the last entry, and the next command would begin a new run."""
    journal = out / JOURNAL_NAME
    return journal.exists() and '"kind": "finished"' in journal.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random_moment = random.Random(arguments.seed)
    kills = finished = blocks = 0
    with tempfile.TemporaryDirectory() as folder:
        artifact = fake_artifact(Path(folder) / "artifact", SHAPE).path
        out, text = Path(folder) / "out", ""
        while kills < arguments.kills:
            ended = kill_at(artifact, out, random_moment.uniform(0.3, 9.0))
            kills += not ended
            if ended or is_finished(out):
                assert json.loads((out / "results.json").read_text())["complete"] is True
                finished += 1
                shutil.rmtree(out)
                text = ""
                continue
            text = check_nothing_lost(out, text)
            blocks += text.count('"kind": "block"')
            print(f"kill {kills}: {text.count(chr(10))} journal entries kept", flush=True)
        while not kill_at(artifact, out, 120.0):
            text = check_nothing_lost(out, text)
        assert json.loads((out / engine.RESULTS).read_text())["complete"] is True
    print(f"{kills} kills, {finished + 1} runs finished after them, no finished entry lost, no unreadable results.json")


if __name__ == "__main__":
    main()
