"""A worker's loop: requests in, answers out, whatever fails in between."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from depthport.bench.workers.channel import WorkerEnd
from depthport.bench.workers.failure import failure
from depthport.bench.workers.messages import Answer, Request


def serve(requests: object, handle: Callable[[Any, Callable[[str], None]], object]) -> None:
    """Answer requests until the manager closes the pipe.

    Args:
        requests: the union of the classes that this worker answers.
        handle: carries out a request, given whom to tell how far it is; returns what its class names as the reply.
    """
    channel = WorkerEnd()
    decoder = msgspec.json.Decoder(requests)
    for line in channel.lines():
        request: Request[Any] | None = None
        try:
            request = decoder.decode(line)
            answer = Answer(reply=handle(request, channel.progress))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a framework raises becomes a row's reason
            traceback.print_exc()
            answer = Answer(failure=failure(error, request))
        channel.send(answer)
