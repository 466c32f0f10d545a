"""`depthport predict`: photographs in; depth pictures, arrays, a point cloud and cameras out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from depthport.bench.cli import words
from depthport.bench.cli.command import INPUTS, MODEL, OUTPUT
from depthport.bench.cli.options import Json, Store, Threads, Weights, names, print_json, stderr
from depthport.exporters.core import install
from depthport.exporters.core.errors import DepthportError, UsageError
from depthport.exporters.core.files.atomic import check_output_folder, storage_errors

if TYPE_CHECKING:
    from depthport.predict.model import Model
    from depthport.predict.photographs import Source
    from depthport.predict.prediction import Prediction

RESULTS = Path("results")
"""Folder that `run` writes them to by default."""
RANDOM = "random weights: depth values and cameras are not valid"


class _Asked(TypedDict, total=False):
    """Options of running a model, as :func:`depthport.load` takes it."""

    runtime: str | None
    device: str | None
    mode: str | None
    precision: str
    format: str
    target: str | None


def predict(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ARTIFACT|MODEL",
            help="A folder of `depthport export`, or a model's name.",
            autocompletion=words.MODEL.complete,
        ),
    ],
    photographs: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="The views of one scene: pictures, a folder, or a video.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is written.", rich_help_panel=OUTPUT)] = Path(
        "prediction"
    ),
    write: Annotated[
        str | None,
        typer.Option(
            "--write",
            help="Any of png,npz,ply,glb,colmap,tum,json. Default: all that can be written here.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        words.RUNTIME.option(
            "--runtime", "-r", help="Default: this machine's pick in --results, else the first that fits", panel=MODEL
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="cpu, cuda, mps, ... Default: an accelerator, if any.", rich_help_panel=MODEL),
    ] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="The runtime's own mode.", rich_help_panel=MODEL)] = None,
    precision: Annotated[
        str | None,
        words.PRECISION.option(
            "--precision", "-p", help="Of what is exported. Default: the pick's, else fp32", panel=MODEL
        ),
    ] = None,
    weights: Weights = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="Results of this machine whose pick is taken. Default: results, if any.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    exif: Annotated[
        bool,
        typer.Option("--exif/--no-exif", help="Turn photographs as EXIF says. Upstream does not.", rich_help_panel=INPUTS),
    ] = True,
    frames: Annotated[
        int, typer.Option("--frames", min=1, max=1000, help="Taken of a video, at equal distances.", rich_help_panel=INPUTS)
    ] = 8,
    process_res: Annotated[
        int | None,
        typer.Option(
            "--process-res", min=14, help="Longest side in pixels that a model sees: 504.", rich_help_panel=INPUTS
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=2, help="A long sequence: so many frames at a time, chained.", rich_help_panel=INPUTS),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option("--overlap", min=1, help="Frames shared with the window before: a third.", rich_help_panel=INPUTS),
    ] = None,
    original_size: Annotated[
        bool, typer.Option("--original-size", help="Depth pictures in the photographs' own pixels.", rich_help_panel=OUTPUT)
    ] = False,
    poses: Annotated[
        Path | None,
        typer.Option("--poses", help="Known cameras (.npz or .json), of artifacts that take them.", rich_help_panel=INPUTS),
    ] = None,
    threads: Threads = None,
    artifacts: Store = None,
    json_: Json = False,
) -> None:
    """Depth and cameras of your own photographs, which are the views of one scene.

    Examples:
        depthport predict da3-small a.jpg b.jpg --out prediction
        depthport predict artifacts/da3-small-onnx-... photos/ --write png,ply --original-size
        depthport predict da3-base walk.mp4 --frames 12
        depthport predict da3-base walk.mp4 --window 12 --overlap 4
    """
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.inputs.pose_files import read_poses
    from depthport.exporters.core.asked import THREADS
    from depthport.exporters.core.store import ArtifactStore
    from depthport.exporters.da3.registry import get_model
    from depthport.predict.files import KINDS, check_kinds, write_prediction
    from depthport.predict.model import load
    from depthport.predict.photographs import load_photographs

    _check_window(window, overlap, {"--poses": poses, "--write": write, "--original-size": original_size, "--json": json_})
    check_output_folder(out)
    store = ArtifactStore(artifacts)
    THREADS.check(threads)
    kinds = check_kinds(names(write, "--write"))
    if write is None and len(kinds) < len(KINDS):
        stderr(f"no point cloud: {install.PREDICT}")
    if not Path(source).is_dir():
        get_model(source)  # a name that is wrong is said before any runtime is imported
    cameras = read_poses(poses) if poses is not None else None
    asked: _Asked = {"runtime": runtime, "device": device, "mode": mode, "precision": precision or "fp32"}
    if not any((runtime, device, mode, precision)) and not Path(source).is_dir():
        asked |= _pick(results, source)
    elif results is not None:
        raise UsageError("--results is for a model whose runtime is not named: leave it out, or what is named")
    observer = observer_for()
    try:
        with _alone(out):
            views = [] if window is not None else load_photographs(photographs, oriented=exif, frames=frames)
            if "target" in asked:
                pick = f"{asked['runtime']} on {asked['device']}, {asked['precision']}"
                observer.note(f"{pick}: the pick of {results or RESULTS}")
            model = load(source, weights=weights, threads=threads, store=store, progress=observer.step, **asked)
            begin = partial(observer.stage, f"preparing {source}")
            with model:
                if window is not None:
                    _sequence(model, photographs, out, window, overlap or max(1, window // 3), exif, begin, process_res)
                    return
                begin()
                found = model.predict(
                    views,
                    extrinsics=cameras.extrinsics if cameras else None,
                    intrinsics=cameras.intrinsics if cameras else None,
                    process_res=process_res,
                )
            observer.stage("writing")
            written = write_prediction(found, out, kinds, original_size=original_size)
    finally:
        observer.close()
    if json_:
        print_json("predict", _facts(found, written))
        return
    typer.echo("\n".join(map(str, written)))
    rate = len(views) / found.seconds if found.seconds else 0.0
    shown = f"{len(views)} view{'s' if len(views) > 1 else ''}"
    stderr(f"{shown} in {found.seconds:.2f} s ({rate:.2f} photographs/s) by {found.placement['runtime']}")
    if found.synthetic:
        stderr(RANDOM)


def _check_window(window: int | None, overlap: int | None, others: dict[str, object]) -> None:
    if window is None:
        if overlap is not None:
            raise UsageError("--overlap needs --window")
        return
    if overlap is not None and overlap >= window:
        raise UsageError(f"windows of {window} frames overlap by 1 to {window - 1} frames, not by {overlap}")
    if given := [option for option, value in others.items() if value]:
        raise UsageError(f"--window writes arrays, 16-bit depth and one camera path, frame by frame: leave out {given[0]}")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep `out` from other predictions; an early end leaves no empty folder.

    Raises:
        UsageError: another one is being written there.
        StorageError: `out` can't be written to.
    """
    from filelock import Timeout

    from depthport.exporters.core.files.locking import exclusive

    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with ExitStack() as held:
            try:
                with storage_errors(out):
                    held.enter_context(exclusive(out / ".lock", timeout_s=0))
            except Timeout:
                raise UsageError(
                    f"another prediction is being written into {out}: wait for it or choose another --out"
                ) from None
            yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _sequence(
    model: Model, sources: list[Path], out: Path, window: int, overlap: int, oriented: bool, begin: Callable[[], object],
    process_res: int | None,
) -> None:  # fmt: skip
    """Window after window of one long sequence, written as it comes; `begin` is called once the first is whole."""
    from depthport.predict.photographs import frames_of
    from depthport.predict.sequence import predict_sequence, write_sequence

    def broken(index: int, error: DepthportError) -> None:
        stderr(f"frame {index} is left out: {error}")

    def announced() -> Iterator[Source]:
        for number, frame in enumerate(chain.from_iterable(map(frames_of, sources)), 1):
            if number == window:
                begin()
            yield frame

    found = predict_sequence(
        model, announced(), views=window, overlap=overlap, oriented=oriented, process_res=process_res, broken=broken
    )
    typer.echo(f"{write_sequence(found, out)} frames in {out}, camera path in {out / 'poses.tum'}")
    if model.session is not None and model.session.artifact.manifest.weights.synthetic:
        stderr(RANDOM)


def _pick(named: Path | None, model: str) -> _Asked:
    """Return the pick of `choose` from this machine's results for this model; None without such results.

    Raises:
        UsageError: results that were named can't be read.
    """
    from depthport.bench.choice.choose import choose
    from depthport.bench.environment.environment import fingerprint
    from depthport.bench.results.load_results import load_results

    results = named or RESULTS
    if named is None and not (results / "results.json").is_file():
        return {}
    try:
        read = load_results(results).results
        choice = choose(read)
    except DepthportError as error:
        if named is not None:
            raise
        stderr(f"{results} has no pick: {error}")
        return {}
    cell = next((cell for cell in read.cells if cell.id == choice.pick), None)
    if cell is None or cell.model != model or read.environment.get("machine") != fingerprint()["machine"]:
        return {}
    target = (cell.artifact or {}).get("options", {}).get("target")
    return {
        "runtime": cell.runtime, "device": cell.device, "mode": cell.mode, "precision": cell.precision,
        "format": cell.format, "target": target if isinstance(target, str) else None,
    }  # fmt: skip


def _facts(found: Prediction, written: list[Path]) -> dict[str, object]:
    return {
        "views": list(found.names),
        "height": found.depth.shape[1],
        "width": found.depth.shape[2],
        "seconds": found.seconds,
        "is_metric": bool(found.is_metric),
        "synthetic_weights": found.synthetic,
        "placement": found.placement,
        "files": [str(path) for path in written],
    }
