"""What a client program and the tests say to each other: a list of asks on stdin, one JSON line per ask on stdout."""

import asyncio
import base64
import gc
import hashlib
import inspect
import json
import math
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable

# Some SDKs print; stdout is for the lines alone.
LINES, sys.stdout = sys.stdout, sys.stderr

# One red pixel: the mock answers with its media type, size and hash.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PICTURE_BASE64 = base64.b64encode(PICTURE).decode()
PICTURE_URL = f"data:image/png;base64,{PICTURE_BASE64}"

# The end of a traceback says what was raised; some SDKs wrap it many times.
MAX_DETAIL = 1_500


@dataclass(frozen=True)
class Ask:
    """One call to make. `status` is the one that its error must have, 0 where none is expected."""

    id: int
    call: str
    url: str
    key: str
    model: str
    prompt: str
    attempts: int
    status: int


def expect(holds: bool, otherwise: Any) -> None:
    if not holds:
        raise AssertionError(str(otherwise))


def expect_said(ask: Ask, text: str | None) -> None:
    """The mock repeats the prompt: that it is all there shows that both ways are whole."""
    expect(text is not None and text.startswith(f"You said: {ask.prompt}"), text)


def expect_picture(text: str | None) -> None:
    word = f"image/png:{len(PICTURE)}:{hashlib.sha256(PICTURE).hexdigest()[:8]}"
    expect(text is not None and word in text, text)


# What the mock thinks before it speaks.
THOUGHT = "Let me think about what was asked."


def expect_calls(calls: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Both tools that were offered were called, each call (id, name, arguments) with an id of its own."""
    made = [(name, arguments) for _, name, arguments in calls]
    expect(made == [("weather", {"city": "mock"}), ("clock", {"zone": "mock"})], calls)
    expect(len({call_id for call_id, _, _ in calls}) == 2, calls)


def expect_answered(text: str | None) -> None:
    expect(text is not None and text.startswith("You said:"), text)


def expect_vectors(vectors: list[list[float]]) -> None:
    """The mock gives unit vectors, another one for each input."""
    expect(len(vectors) == 2 and vectors[0] != vectors[1], "two different vectors")
    for vector in vectors:
        expect(len(vector) == 1536, len(vector))
        expect(abs(math.hypot(*vector) - 1) < 1e-4, math.hypot(*vector))


def fails(call: Callable[[Ask], Any], raises: dict[int, type[Exception]], tell: Callable[[Any], dict[str, Any]]):
    """The function for `fails`: calls until the class that belongs to the ask's status is raised."""

    async def asynchronous(ask: Ask) -> dict[str, Any]:
        for _ in range(ask.attempts):
            try:
                await call(ask)
            except raises[ask.status] as error:
                return {"detail": type(error).__name__, **tell(error)}
        raise AssertionError("nothing was raised")

    def synchronous(ask: Ask) -> dict[str, Any]:
        for _ in range(ask.attempts):
            try:
                call(ask)
            except raises[ask.status] as error:
                return {"detail": type(error).__name__, **tell(error)}
        raise AssertionError("nothing was raised")

    return asynchronous if inspect.iscoroutinefunction(call) else synchronous


def run(calls: dict[str, Callable[[Ask], Any]]) -> None:
    """
    Makes every call that was asked for. A function gives the usage of each billed call as (input, output), or None
    where its SDK does not tell it; `fails` gives what the error said.
    """
    # Some SDKs leave a stream's generator to the collector, which closes it wherever it runs: within httpcore's lock of its
    # connections, which that then waits for itself, for ever. So it runs between two asks alone.
    gc.disable()
    for row in json.load(sys.stdin):
        gc.collect()
        ask = Ask(**row)
        line: dict[str, Any] = {"id": ask.id, "ok": True, "detail": ""}
        began = time.monotonic()
        try:
            told = calls[ask.call](ask)
            if inspect.isawaitable(told):
                told = asyncio.run(told)
            line |= told if isinstance(told, dict) else {"usage": told}
        except BaseException:
            line |= {"ok": False, "detail": traceback.format_exc()[-MAX_DETAIL:]}
        line["ms"] = 1_000 * (time.monotonic() - began)
        LINES.write(json.dumps(line) + "\n")
        LINES.flush()
