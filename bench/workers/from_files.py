"""The timed loops of a block that begins with files; bench/workers/worker.py says what a sample is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from depthport.bench.workers.blocks import Samples, spin
from depthport.bench.workers.messages import RunBlock

if TYPE_CHECKING:
    from depthport.runtimes.session import Arrays, FilesPipeline

Scenes = Sequence[Sequence[bytes]]


def time_from_files(pipeline: FilesPipeline, scenes: Scenes, request: RunBlock) -> tuple[Samples, Arrays]:
    """The samples that `request` asks for, scenes rotating, and the outputs of the last."""
    for _ in range(request.warmups):
        pipeline(scenes[request.first_input % len(scenes)])
    return _stream(pipeline, scenes, request) if request.boundary == "stream" else _alone(pipeline, scenes, request)


def _alone(pipeline: FilesPipeline, scenes: Scenes, request: RunBlock) -> tuple[Samples, Arrays]:
    clock = time.perf_counter_ns
    samples: list[int] = []
    starts: list[int] = []
    outputs: Arrays = {}
    for index in request.input_indices:
        files = scenes[index % len(scenes)]
        begin = clock()
        outputs = pipeline(files)
        if request.delay_ns:
            spin(request.delay_ns)
        samples.append(clock() - begin)
        starts.append(begin)
    return Samples(starts, pipeline_ns=samples), outputs


def _stream(pipeline: FilesPipeline, scenes: Scenes, request: RunBlock) -> tuple[Samples, Arrays]:
    """One sample: the time from the first file to the last array, by the number of scenes."""
    clock = time.perf_counter_ns
    count = request.samples
    last: Arrays = {}
    begin = clock()
    for found in pipeline.stream(scenes[index % len(scenes)] for index in request.input_indices):
        last = found
        if request.delay_ns:
            spin(request.delay_ns)
    return Samples([begin], stream_ns=[(clock() - begin) // count]), last
