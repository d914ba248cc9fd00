"""Generation settings are for whoever uses a model: they change no check, no measurement and no comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.engine.distil.generation import continue_text
from core.engine.distil.outputs import Outputs
from core.engine.live.generate import next_tokens
from core.engine.models.load import Loaded, load_model
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model

SETTINGS: dict[str, Any] = {
    "stop_strings": ["the", "\n"],
    "prompt_lookup_num_tokens": 3,
    "return_dict_in_generate": True,
    "cache_implementation": "static",
    "num_beams": 3,
    "num_return_sequences": 1,
    "do_sample": True,
    "temperature": 0.3,
    "top_k": 3,
    "top_p": 0.4,
    "min_p": 0.2,
    "typical_p": 0.5,
    "forced_bos_token_id": 5,
    "forced_eos_token_id": 7,
    "min_new_tokens": 30,
    "min_length": 40,
    "max_length": 3,
    "max_new_tokens": 1,
    "max_time": 0.0001,
    "no_repeat_ngram_size": 1,
    "repetition_penalty": 3.0,
    "encoder_repetition_penalty": 2.0,
    "bad_words_ids": [[1], [2, 3]],
    "force_words_ids": [[9]],
    "constraints": [],
    "suppress_tokens": list(range(200)),
    "begin_suppress_tokens": list(range(300)),
    "sequence_bias": [[[4], 9.0]],
    "guidance_scale": 1.5,
    "renormalize_logits": True,
    "output_scores": True,
    "output_logits": True,
    "output_attentions": True,
    "output_hidden_states": True,
    "use_cache": False,
    "length_penalty": 2.0,
    "early_stopping": True,
    "diversity_penalty": 0.5,
    "num_beam_groups": 2,
    "exponential_decay_length_penalty": [2, 1.5],
    "watermarking_config": {
        "greenlist_ratio": 0.4,
        "bias": 3.0,
        "context_width": 1,
        "hashing_key": 15485863,
        "seeding_scheme": "lefthash",
    },
    "num_assistant_tokens": 4,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.2,
    "assistant_early_exit": 2,
    "prefill_chunk_size": 4,
    "token_healing": True,
    "dola_layers": "high",
    "penalty_alpha": 0.6,
    "epsilon_cutoff": 0.001,
    "eta_cutoff": 0.001,
    "remove_invalid_values": True,
    "decoder_start_token_id": 1,
    "eos_token_id": [0, 11, 12],
    "pad_token_id": None,
}
IN_CONFIG = {
    "num_beams": 4,
    "return_dict_in_generate": True,
    "do_sample": True,
    "max_length": 3,
    "stop_strings": ["a"],
    "return_dict": False,
    "output_attentions": True,
    "output_hidden_states": True,
    "use_cache": False,
}


@pytest.fixture(scope="module")
def fresh() -> Iterator[ReloadProcess]:
    with ReloadProcess() as process:
        yield process


def changed(folder: Path, copy: Path, name: str, file: str, **values: Any) -> Path:
    """A copy of the model whose `file` says something else."""
    target = copy / name
    shutil.copytree(folder, target)
    said = json.loads((target / file).read_text())
    (target / file).write_text(json.dumps({**said, **values}))
    return target


def prompts() -> torch.Tensor:
    return torch.randint(1, 384, (2, 24), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def lively(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that it does not write the same token over and over."""
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".layers." in name and weight.dim() == 2:
                weight.mul_(12)
    folder = tmp_path_factory.mktemp("lively") / "model"
    shutil.copytree(tiny_llama, folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def expected(lively: Path) -> list[int]:
    """What plain transformers writes greedily with the model as it is: seven tokens after the first prompt."""
    model = AutoModelForCausalLM.from_pretrained(lively, dtype=torch.float32)
    written = model.generate(prompts()[:1], max_new_tokens=7, do_sample=False, eos_token_id=None)
    tokens: list[int] = written[0, 24:].tolist()
    assert len(set(tokens)) > 4
    return tokens


def passes(fresh: ReloadProcess, loaded: Loaded, folder: Path) -> dict[str, Any]:
    """Saves and checks as a run does; the generation settings that were written."""
    save_model(loaded.model, loaded.tokenizer, folder, {"Name": "tiny"})
    with torch.inference_mode():
        logits = loaded.model(prompts()).logits
    result = fresh.check(folder, prompts(), logits)
    assert result.cached_equals_uncached is True and result.max_logit_difference <= 1e-5
    found: dict[str, Any] = json.loads((folder / "generation_config.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_an_ordinary_setting_changes_no_check_and_is_kept(
    fresh: ReloadProcess, lively: Path, tmp_path: Path, expected: list[int], name: str
) -> None:
    folder = changed(lively, tmp_path, "given", "generation_config.json", **{name: SETTINGS[name]})
    loaded = load_model(folder, "float32")
    before = loaded.model.generation_config
    saved = passes(fresh, loaded, tmp_path / "saved")
    assert saved.get(name) == SETTINGS[name], "the saved model has the setting it came with"
    assert saved.get("do_sample") == (True if name == "do_sample" else None), "and no other was changed"
    if name != "eos_token_id":  # what ends a text is no way of writing
        ids, attended = continue_text(Outputs(loaded.model, "causal"), prompts()[:1], 31, 0.0, seed=0)
        assert ids[0, 24:].tolist() == expected and bool(attended.all())
        assert [token for token, _ in next_tokens(loaded.model, prompts()[:1], 7)] == expected
    assert loaded.model.generation_config is before, "what was put aside is back"


@pytest.mark.parametrize("name", IN_CONFIG)
def test_a_setting_in_the_config_changes_no_check(
    fresh: ReloadProcess, lively: Path, tmp_path: Path, name: str
) -> None:
    folder = changed(lively, tmp_path, "given", "config.json", **{name: IN_CONFIG[name]})
    (folder / "generation_config.json").unlink()  # transformers then looks for settings in the config
    passes(fresh, load_model(folder, "float32"), tmp_path / "saved")


def test_a_text_still_ends_where_the_model_says(lively: Path, tmp_path: Path, expected: list[int]) -> None:
    ends = [383, expected[3]]
    folder = changed(lively, tmp_path, "given", "generation_config.json", eos_token_id=ends)
    model = load_model(folder, "float32").model
    first = expected.index(expected[3])
    assert [token for token, _ in next_tokens(model, prompts()[:1], 7)] == expected[:first]
    ids, attended = continue_text(Outputs(model, "causal"), prompts()[:1], 31, 0.0, seed=0)
    assert ids[0, 24 : 24 + first + 1].tolist() == expected[: first + 1]
    assert int(attended.sum()) == 24 + first + 1, "the end belongs to the text, what follows does not"


def test_sampling_goes_by_its_temperature_alone(lively: Path, tmp_path: Path) -> None:
    """At temperature 1 with the same seed: cuts of the distribution in the model's settings are not applied."""
    cut = changed(lively, tmp_path, "cut", "generation_config.json", top_k=1, min_p=0.9, typical_p=0.1, do_sample=True)
    texts = [
        continue_text(Outputs(load_model(folder, "float32").model, "causal"), prompts()[:1], 40, 1.0, seed=5)[
            0
        ].tolist()
        for folder in (lively, cut)
    ]
    assert texts[0] == texts[1]
