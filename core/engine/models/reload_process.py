"""The fresh process: loads a saved model with plain transformers and compares it with what was saved.

Run by `roundtrip.py` as `python -I reload_process.py`; it may import nothing of Retort's, and says so if it
did. One line of JSON in, one line of JSON out. Each check runs in a clean fork, which starts with the
libraries imported but no model and none of torch's threads, so its peak memory is that of one model.
"""

import json
import os
import sys
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)

# transformers imports what lies behind its names when they are used: here once, not again in every fork.
_BEFORE_FORKS = (GenerationConfig, GenerationMixin, PreTrainedModel)
FORWARD = {"return_dict": True, "output_attentions": False, "output_hidden_states": False}
"""What a forward pass gives back here, whatever the config asks for."""
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()


def auto_class(folder: str) -> Any:
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        name = (json.load(file).get("architectures") or [""])[0]
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        return AutoModelForCausalLM
    if name.endswith("ForConditionalGeneration"):
        return AutoModelForSeq2SeqLM
    if name.endswith("ForMaskedLM"):
        return AutoModelForMaskedLM
    return AutoModelForSequenceClassification if name.endswith("ForSequenceClassification") else AutoModel


def peak_memory() -> int:
    """Peak resident bytes of this process."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_float32(model: Any) -> Any:
    """The same weights as ordinary float32 numbers: rounding in fewer bits alone changes tokens.

    Activations rounded to int8 turn a difference of 1e-7 into one of the size of the rounding itself.
    """
    for module in model.modules():
        weight: Any = getattr(module, "weight", None)
        if hasattr(weight, "__tensor_flatten__"):  # packed
            module.weight = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
    return torch.nn.Module.float(model)  # transformers' own refuses a model that was packed


def generate(model: Any, prompt: torch.Tensor, new_tokens: int, use_cache: bool) -> torch.Tensor:
    """(1, prompt and new tokens; of an encoder-decoder the new ones alone), greedy and without an end.

    What the model's own settings ask for (beams, stop strings, another kind of cache) is not looked at: transformers
    would fill in from them what the call leaves open.
    """
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None:
        start = model.generation_config.decoder_start_token_id
    model.generation_config = GenerationConfig(decoder_start_token_id=start)
    with torch.inference_mode():
        tokens: torch.Tensor = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new_tokens,
            do_sample=False,
            use_cache=use_cache,
            pad_token_id=0,
        )
    return tokens


def same_tokens(model: Any, prompt: torch.Tensor, cached: torch.Tensor, uncached: torch.Tensor) -> bool:
    """Equal, or different only from a position on where the two tokens are tied to rounding."""
    differ = (cached != uncached).any(dim=0).nonzero()
    if not len(differ):
        return True
    position = int(differ[0])
    given = {"input_ids": uncached[:, :position]}
    if model.config.is_encoder_decoder:
        given = {"input_ids": prompt, "decoder_input_ids": uncached[:, :position]}
    with torch.inference_mode():
        logits = model(**given, use_cache=False).logits[:, -1].float()  # (batch, vocabulary)
    gap = logits.gather(1, uncached[:, position : position + 1]) - logits.gather(1, cached[:, position : position + 1])
    return bool((gap.abs() <= 1e-4 * logits.abs().amax(dim=1, keepdim=True)).all())


def check(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(request["threads"])
    kind = auto_class(request["folder"])
    model = kind.from_pretrained(request["folder"], local_files_only=True, dtype="auto", **FORWARD).eval()
    given = load_file(request["tensors"])
    expected = given.pop("logits")
    with torch.inference_mode():
        out = model(**given)
    logits = out.logits if hasattr(out, "logits") else out.last_hidden_state
    if logits.shape != expected.shape:
        return {"error": f"its output has shape {tuple(logits.shape)} where {tuple(expected.shape)} was expected"}
    difference = float((logits.float() - expected.float()).abs().max())
    answer: dict[str, Any] = {"max_logit_difference": difference, "cached_equals_uncached": None}
    if kind in (AutoModelForCausalLM, AutoModelForSeq2SeqLM):
        prompt = given["input_ids"][:1, : request["prompt"]]
        cached = generate(model, prompt, request["new_tokens"], use_cache=True)
        answer["peak_memory_bytes"] = peak_memory()
        if model.dtype != torch.float32 or getattr(model, "is_quantized", False):
            model = in_float32(model)
            cached = generate(model, prompt, request["new_tokens"], use_cache=True)
        uncached = generate(model, prompt, request["new_tokens"], use_cache=False)
        answer["cached_equals_uncached"] = same_tokens(model, prompt, cached, uncached)
    else:
        answer["peak_memory_bytes"] = peak_memory()
    answer["foreign_modules"] = sorted(m for m in sys.modules if m.split(".")[0] in ("core", "pages", "retort"))
    return answer


def answer_of(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return check(request)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return {"error": f"{type(error).__name__}: {error}"}


def in_fork(request: dict[str, Any]) -> dict[str, Any] | None:
    """Answers in a clean copy of this process; None if the copy was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            with os.fdopen(writer, "w") as out:
                out.write(json.dumps(answer_of(request)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    result: dict[str, Any] | None = json.loads(text) if text else None
    return result


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not end up between the answers

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        result = in_fork(request) if hasattr(os, "fork") else answer_of(request)
        say(result or {"error": "its process was ended, most likely for lack of memory"})


if __name__ == "__main__":
    main()
