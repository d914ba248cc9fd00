"""Fixtures every test may use: an empty home, a tiny real model, and the home with the fetched samples."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import psutil
import pytest

from core.base.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Files that take minutes, the longest first: two processes share the files, and a long one at the end leaves one idle.
LONGEST = (
    "cluster/test_sweep",
    "jobs/test_soak",
    "cli/test_runs",
    "e2e/test_pages",
    "e2e/test_study",
    "e2e/test_axe",
    "pages/test_compare",
    "engine/distil/test_sample",
    "cli/test_notebook",
    "e2e/test_report",
)
LEAVING_SECONDS = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

os.environ.setdefault("RETORT_QUIET_SECONDS", "0")  # tests run beside other work, and none asserts a speed

hypothesis.settings.register_profile("retort", deadline=None)  # tests assert correctness, not time
hypothesis.settings.load_profile("retort")

SENTENCES = (
    "The river ran slowly past the old mill, and the children threw stones into the water.",
    "In 1834 the council bought the island and built a small harbour with a lighthouse.",
    "She measured the weight of the parcel twice, because the first number looked wrong.",
    "A model that is smaller is not always faster, and a faster one is not always worse.",
    "Rain fell on the roofs of the town until morning; then the market opened as usual.",
)


WITH_MODELS = (
    "api",
    "catalogue",
    "cli",
    "cluster",
    "conformance",
    "engine",
    "jobs",
    "pages",
    "registry",
    "security",
    "surfaces",
)
"""Folders whose tests make models, start processes or draw whole pages: `make check` leaves them to `make test`."""


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in WITH_MODELS:
            item.add_marker(pytest.mark.slow)
    first = {f"{name}.py": at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.relative_to(here).as_posix(), len(first)))


@pytest.fixture(scope="session", autouse=True)
def nothing_survives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No runner, worker, preview server or server of a home that a test made is left when all tests are done.

    A runner leaves by itself when it has been idle for a while: so much time it has.
    """
    yield
    base = tmp_path_factory.getbasetemp()
    give_up = time.monotonic() + LEAVING_SECONDS
    while (left := processes_of(base)) and time.monotonic() < give_up:
        time.sleep(0.2)
    said = [f"{p.pid} {' '.join(p.cmdline())[:300]}" for p in left]
    for process in left:
        process.kill()
    assert not said, f"processes of tests were left behind: {said}"


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes whose home lies in a folder, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            home = process.environ().get("RETORT_HOME", "")
            if process.pid != os.getpid() and Path(home).is_relative_to(folder) and process.status() != "zombie":
                found.append(process)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings of a fresh, empty home; local models may lie under `home/models`."""
    base = tmp_path.resolve() / "home"
    (base / "models").mkdir(parents=True)
    return Settings(home=base, roots=(base / "models",))


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """About 40 kB of plain text with structure, for tokenizers and windows."""
    return "\n\n".join(f"{i}. {SENTENCES[i % 5]} {SENTENCES[(i * 3 + 1) % 5]}" for i in range(240))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    """A folder with a random 4-layer Llama (grouped-query, tied) and a byte-level BPE tokenizer, as safetensors.

    Hidden 32, intermediate 64, 4 query / 2 key-value heads, 384 tokens, context 256, float32, seed 0.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(tiny_text.split("\n\n"), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=256
    )
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's chromium, driven by Playwright: one for all tests of a process, since it allows no second."""
    from playwright.sync_api import expect, sync_playwright

    path = next((p for p in map(shutil.which, BROWSERS) if p), None)
    if path is None:
        pytest.skip("needs chromium, which is not installed ('make test' installs it where it can)")
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sample_home() -> Settings:
    """Settings of the home that holds the fetched samples (`RETORT_TEST_HOME`, or the default home)."""
    from core.catalogue.samples import is_fetched
    from core.registry.samples import SAMPLES

    settings = Settings.load(os.environ.get("RETORT_TEST_HOME"))
    for sample in ("smollm2-135m", "wiki"):
        if not is_fetched(SAMPLES[sample], settings):
            pytest.skip(f"needs sample:{sample}, which is not in {settings.home}; fetch it with 'make run' first")
    return settings
