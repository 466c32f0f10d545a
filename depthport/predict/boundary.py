"""The pipeline as it is timed: from the files of a scene to arrays, one scene alone and scene after scene."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from depthport.exporters.core.errors import DepthportError
from depthport.predict.photographs import load_photographs
from depthport.predict.pipeline import Preparation, overlapped
from depthport.predict.recipe import Prepared, Recipe
from depthport.runtimes.session import Arrays, FilesPipeline, Ready, Session


class SessionPipeline(FilesPipeline):
    """Ours, through any session; bit for bit upstream's pixels, decoded on the CPU."""

    def __init__(self, session: Session, threads: int | None = None) -> None:
        """`threads` that decode; None: one a core, eight at most."""
        self._session, self._threads = session, threads
        self._recipe = recipe_of(session)
        self._flow = session.flow()

    def __call__(self, files: Sequence[bytes]) -> Arrays:
        return self._flow.submit({"image": prepared(files, self._recipe).image}, checked=True)()

    def stream(self, scenes: Iterable[Sequence[bytes]]) -> Iterator[Arrays]:
        def submit(scene: Prepared) -> Ready:
            return self._flow.submit({"image": scene.image}, checked=True)

        with Preparation(self._recipe, threads=self._threads, oriented=False) as preparation:
            items = overlapped(
                scenes, preparation.start, submit,
                prepared_ahead=preparation.ahead, submitted_ahead=lambda: self._flow.ahead,
            )  # fmt: skip
            with closing(items):
                for item in items:
                    yield _result(item.result, item.error)

    def stages_ns(self, files: Sequence[bytes]) -> dict[str, int]:
        session, marks = self._session, [time.perf_counter_ns()]
        photographs = load_photographs(files, oriented=False)
        marks.append(time.perf_counter_ns())
        scene = self._recipe.scene([self._recipe.view(one) for one in photographs])
        marks.append(time.perf_counter_ns())
        session.bind({"image": scene.image}, checked=True)
        session.synchronize()
        marks.append(time.perf_counter_ns())
        session.run()
        session.synchronize()
        marks.append(time.perf_counter_ns())
        session.outputs()
        marks.append(time.perf_counter_ns())
        names = ("decode", "resize", "copy", "network", "back")
        return {name: end - begin for name, begin, end in zip(names, marks, marks[1:], strict=False)}


def recipe_of(session: Session) -> Recipe:
    """Return the recipe of a session's artifact; pictures of what the network sees are not kept."""
    return Recipe(session.artifact.manifest, images=False)


def prepared(files: Sequence[bytes], recipe: Recipe) -> Prepared:
    """Return the files of a scene, as they are fed."""
    return recipe.scene([recipe.view(one) for one in load_photographs(files, oriented=False)])


def pipeline_of(session: Session) -> FilesPipeline:
    """A session's own pipeline, where it has one (upstream's `inference`), else ours."""
    return session.own_pipeline() or SessionPipeline(session)


def _result(found: Arrays | None, error: DepthportError | None) -> Arrays:
    if found is None:
        assert error is not None
        raise error
    return found
