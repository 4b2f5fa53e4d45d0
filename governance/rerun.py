"""The process in which a kept tool runs: started by `governance.tools`, with the tool's archive as argument.

It loads the tool from the archive alone, then forks once for every run, so that no run can alter the next,
and each has its own limits of time and memory. Requests and answers are JSON, each behind its length.
Nothing of the house is imported here but what is in the archive.
"""

import json
import os
import resource
import select
import signal
import struct
import sys
import time
from types import ModuleType
from typing import Any, BinaryIO

LENGTH = struct.Struct(">Q")
MOST_ANSWER = 64 << 20
HOUSE = ("analysis", "schemas")


def load(archive: str) -> ModuleType:
    """Import the tool's door from the archive, and make sure that nothing of it came from elsewhere."""
    sys.path.insert(0, archive)
    import analysis.lifetime.statement as door

    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in HOUSE and not str(getattr(module, "__file__", "")).startswith(archive):
            raise ImportError(f"{name} is not of the archive")
    return door


def read(stream: BinaryIO) -> Any:
    """Return the next request, or None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return json.loads(stream.read(LENGTH.unpack(head)[0]))


def write(stream: BinaryIO, answer: bytes) -> None:
    """Send an answer."""
    stream.write(LENGTH.pack(len(answer)) + answer)
    stream.flush()


def limited(door: ModuleType, request: dict[str, Any]) -> bytes:
    """Run the tool in a process of its own within the limits asked for, and return its answer."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _run(door, request, theirs)
    os.close(theirs)
    deadline = time.monotonic() + float(request["seconds"])
    answer = bytearray()
    stopped = ""
    while True:
        ready, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            stopped = "time"
            break
        part = os.read(ours, 1 << 20)
        if not part:
            break
        answer += part
        if len(answer) > MOST_ANSWER:
            stopped = "size"
            break
    if stopped:
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if not stopped and not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0):
        stopped = "time" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU else "crash"
    return json.dumps({"stopped": stopped}).encode() if stopped else bytes(answer)


def _run(door: ModuleType, request: dict[str, Any], out: int) -> None:
    """Be the child: answer into `out` and end."""
    try:
        seconds, room = max(1, int(request["seconds"]) + 1), int(request["memory_bytes"])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        try:
            made = door.run(request["inputs"], request["fleet"])
            text = json.dumps(made, allow_nan=False).encode()
        except MemoryError:
            text = b'{"stopped": "memory"}'
        except Exception as error:
            text = json.dumps(
                {"stopped": "crash", "words": f"{type(error).__name__}: {error}"[:400]}
            ).encode()
        sent = 0
        while sent < len(text):
            sent += os.write(out, text[sent : sent + (1 << 20)])
    finally:
        os._exit(0)


def main() -> None:
    """Answer requests until there are no more."""
    door = load(sys.argv[1])
    while (request := read(sys.stdin.buffer)) is not None:
        write(sys.stdout.buffer, limited(door, request))


if __name__ == "__main__":
    main()
