"""What stands around a window: the tokenizer's start, the recipe's wish, and no end token where text goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from core.base.errors import RetortError
from core.engine.data.framing import Frame, closing, frame_for, opened_ids, spoken
from core.engine.data.windows import calibration_windows, evaluation_windows
from core.engine.distil.packing import pack
from core.engine.evaluate.choice import encode
from core.recipe.recipe import Calibration, Evaluation
from core.registry.measurement import find_metric
from tests.engine.conftest import JUDGED, Memory
from tests.engine.models.wild import TEXT, framed

BOS, EOS = 1, 2


@pytest.mark.parametrize(
    ("before", "after", "start", "frame"),
    [
        ("<s>", "", "tokenizer", Frame((BOS,))),
        ("<s>", "", "none", Frame()),
        ("<s>", "", "each", Frame((BOS,))),
        ("", "", "tokenizer", Frame()),
        ("", "", "none", Frame()),
        ("", "", "each", Frame((BOS,))),
        ("<s>", "</s>", "tokenizer", Frame((BOS,))),
        ("", "</s>", "each", Frame((BOS,))),
        ("", "</s>", "none", Frame()),
    ],
)
def test_the_frame_of_a_model_that_predicts_the_next_token(before: str, after: str, start: Any, frame: Frame) -> None:
    tokenizer = framed(before, after)
    assert frame_for(tokenizer, "causal", start) == frame
    assert frame_for(tokenizer, "masked", start) == Frame(frame.before, (EOS,) if after else ())


def test_each_needs_a_start_token() -> None:
    tokenizer = framed()
    tokenizer.bos_token = None
    with pytest.raises(RetortError, match="has none") as refused:
        frame_for(tokenizer, "causal", "each")
    assert "start_token" in refused.value.remedy
    assert frame_for(tokenizer, "causal") == Frame()


def test_an_end_token_is_in_no_window_and_in_no_option() -> None:
    tokenizer = framed("<s>", "</s>")
    text = "\n\n".join(TEXT)
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    frame = frame_for(tokenizer, "causal")
    count = len(plain) // 31
    windows = evaluation_windows([text], tokenizer, 32 * count, 32, frame)
    assert windows.tolist() == [[BOS, *plain[31 * i : 31 * (i + 1)]] for i in range(count)]
    assert not (calibration_windows([text], tokenizer, 4, 32, 0, frame) == EOS).any()
    assert not any((window == EOS).any() for window in pack([text], tokenizer, 32, frame))
    assert opened_ids(tokenizer, "The river") == [BOS, *tokenizer("The river", add_special_tokens=False)["input_ids"]]
    option, reference = encode(tokenizer, "The river", " ran"), encode(framed("<s>"), "The river", " ran")
    assert option == reference and closing(tokenizer) == 1 and EOS not in (*option.tokens, *option.targets)


def test_it_is_said_in_words() -> None:
    tokenizer = framed("<s>", "</s>")
    assert spoken(tokenizer, Frame()) == "with the text itself"
    assert spoken(tokenizer, Frame((BOS,))) == "with <s>"
    assert spoken(tokenizer, Frame((BOS,), (EOS,))) == "with <s>, ends with </s>"


def test_recipes_know_three_words_and_the_default_is_the_tokenizers() -> None:
    assert Evaluation().start_token == Calibration().start_token == "tokenizer"
    assert Evaluation(start_token="none").identity() != Evaluation().identity()
    with pytest.raises(ValidationError, match="start_token"):
        Evaluation.model_validate({"start_token": "always"})


def test_a_run_measures_what_was_asked_for_and_says_so(
    run: Callable[..., Memory], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss by hand: the tiny Llama's tokenizer adds nothing by itself, `each` puts a start token before a window."""
    from tests.engine.models.wild import edit

    edit(model, "tokenizer_config.json", bos_token="<|endoftext|>")
    plain = AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer: Any = __import__("transformers").AutoTokenizer.from_pretrained(model)
    ids = tokenizer(JUDGED, add_special_tokens=False)["input_ids"]
    figures = {}
    for start, body, before in (("tokenizer", 64, []), ("none", 64, []), ("each", 63, [0])):
        hooks = run(model, {"step": "evaluate"}, evaluation={"start_token": start})
        (result,) = hooks.results.values()
        loss = find_metric(result.measurements, "loss")
        assert loss is not None and loss.settings["start_token"] == start
        assert loss.settings["begins"] == ("with <|endoftext|>" if before else "with the text itself")
        cut = [ids[i : i + body] for i in range(0, len(ids) - body + 1, body)]
        windows = torch.tensor([before + cut[len(cut) * (2 * i + 1) // 16] for i in range(8)])  # all over the text
        with torch.no_grad():
            expected = float(plain(windows, labels=windows).loss)
        assert math.isclose(loss.value, expected, rel_tol=1e-4)
        figures[start] = loss.value
    assert figures["none"] == figures["tokenizer"] != figures["each"]
