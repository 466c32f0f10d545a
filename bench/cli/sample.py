"""`depthport sample`: an artifact in a program of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depthport.bench.cli import complete
from depthport.bench.cli.options import Json, print_json, stderr, stdout


def sample(
    artifact: Annotated[Path, typer.Argument(help="A folder of `depthport export`, of format onnx.")],
    kind: Annotated[
        str,
        typer.Option(
            "--for",
            help="python, cpp, browser, triton or ros2.",
            autocompletion=complete.words("python", "cpp", "browser", "triton", "ros2"),
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new folder. Default: sample-KIND.")] = None,
    json_: Json = False,
) -> None:
    """A program that runs an artifact without depthport, filled in with what the artifact takes and gives.

    Examples:

        depthport sample artifacts/da3-small-onnx-... --for python

        depthport sample artifacts/da3-small-onnx-... --for triton --out model-repository
    """
    from depthport.exporters.core.artifact import load_artifact
    from depthport.exporters.core.asked import known_name
    from depthport.predict.sample import SAMPLES, write_sample

    known_name("sample", kind, SAMPLES)
    found = load_artifact(artifact)
    found.verify()
    folder = out or Path(f"sample-{kind}")
    written = write_sample(found, kind, folder)
    if json_:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        stdout(path)
    for step in found.manifest.host_steps:
        stderr(f"left to the host, and not done in it: {step.name} ({step.description})")
    stderr(f"in {folder}: {SAMPLES[kind].run}")
