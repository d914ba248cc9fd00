"""What the preview server can be asked: a name, and the function that answers. One line adds an operation.

A function is `(host: core.engine.live.host.Host, request: dict) -> Iterator[dict]`: it yields events that can
be JSON, the first ones early, and calls `host.checkpoint()` between units of work.
"""

from __future__ import annotations

OPERATIONS: dict[str, str] = {
    "classify": "core.engine.live.classify:classify",
    "compare_set": "core.engine.live.prompt_set:compare_set",
    "forced": "core.engine.live.forced:forced",
    "generate": "core.engine.live.generate:generate",
    "labelled": "core.engine.live.classify:labelled",
    "preview": "core.engine.live.preview:preview",
}
