"""What lies beside an ONNX graph: config with the class names, tokenizer, and an example that runs it.

The example needs onnxruntime, tokenizers and NumPy only: neither Retort nor PyTorch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.engine.models.tokenizer_files import write_tokenizer

FILE, EXAMPLE = "model.onnx", "example.py"

_SCRIPT = Template("""\
# $what Needs: pip install onnxruntime tokenizers numpy
import json, pathlib, sys
import numpy, onnxruntime, tokenizers

here = pathlib.Path(__file__).parent
tokenizer = tokenizers.Tokenizer.from_file(str(here / "tokenizer.json"))
tokenizer.no_padding(), tokenizer.$cut
session = onnxruntime.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])
ids = tokenizer.encode(sys.argv[1]).ids
run = lambda ids: session.run(None, {"input_ids": numpy.array([ids]), "attention_mask": numpy.array([[1] * len(ids)])})
$then
""")
_THEN = {
    "classification": (
        "The class of a text.",
        """names = json.loads((here / "config.json").read_text(encoding="utf-8"))["id2label"]
print(names[str(run(ids)[0][0].argmax())])""",
    ),
    "causal": (
        "Goes on with a text, 20 tokens, each the most likely (the whole text is computed again for each).",
        """for _ in range(20):
    ids.append(int(run(ids)[0][0, -1].argmax()))
print(tokenizer.decode(ids))""",
    ),
    "masked": (
        "The most likely token at each place of a text, its gaps ([MASK] or the like) included.",
        """print([tokenizer.id_to_token(int(i)) for i in run(ids)[0][0].argmax(-1)])""",
    ),
    "encoder": (
        "A vector for a text: the mean of those of its tokens.",
        """print(run(ids)[0][0].mean(0).tolist())""",
    ),
}
"""By task: what the example does, and its last lines."""


def write_around(loaded: Loaded, folder: Path, target: Path) -> None:
    """Writes config, tokenizer and example of the model, saved in `folder`, into `target`."""
    shutil.copyfile(folder / "config.json", target / "config.json")
    write_tokenizer(loaded.tokenizer, target)
    if (target / "tokenizer.json").is_file():
        what, then = _THEN[loaded.task]
        context = context_of(loaded.model)
        cut = "no_truncation()" if context is None else f"enable_truncation({context})"
        script = _SCRIPT.substitute(what=what, then=then, cut=cut)
        (target / EXAMPLE).write_text(script, encoding="utf-8")
