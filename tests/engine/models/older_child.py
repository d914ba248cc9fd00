"""Run by another Python, with an older transformers: loads saved models and compares them with what was expected.

One line of JSON in for each model (folder, expected), one out. It imports nothing of Retort.
"""

import json
import os
import sys
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()


def auto_class(folder: str) -> Any:
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        name = json.load(file)["architectures"][0]
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        return transformers.AutoModelForCausalLM
    if name.endswith("ForMaskedLM"):
        return transformers.AutoModelForMaskedLM
    classifier = name.endswith("ForSequenceClassification")
    return transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModel


def compare(request: dict[str, Any]) -> dict[str, Any]:
    folder = request["folder"]
    given = load_file(request["expected"])
    model, info = auto_class(folder).from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
    )
    with torch.inference_mode():
        out = model.eval()(given["ids"])
    logits = out.logits if hasattr(out, "logits") else out.last_hidden_state
    answer = {"difference": float((logits - given["logits"]).abs().max()), "missing": sorted(info["missing_keys"])}
    answer["unexpected"] = sorted(info["unexpected_keys"])
    if request["texts"]:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        answer["tokens"] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in request["texts"]]
        answer["special"] = sorted(tokenizer.all_special_tokens)
    return answer


for line in sys.stdin:
    try:
        answer = compare(json.loads(line))
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    answer["version"] = transformers.__version__
    sys.stdout.write("ANSWER" + json.dumps(answer) + "\n")
    sys.stdout.flush()
