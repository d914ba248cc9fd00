"""One more way for `benchmarks.distil`: the distillation trainer of TRL, where it is installed (`pip install trl`).

Its GKD trainer with lmbda = 0 and beta = 0 learns the forward KL from the text it is given, as the other ways do.
The trainer owns its loop, so the loop is turned inside out: after each of its steps the other ways take theirs.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def installed() -> bool:
    return importlib.util.find_spec("trl") is not None


def run(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: torch.Tensor,
    batch: int,
    half: bool,
    after: Callable[[int], None],
) -> tuple[list[float], float]:
    """Seconds of each step, and the loss of the last.

    Args:
        ids: (steps * batch, length) tokens, all of which count.
        after: called with the number of each step once it is done and its time taken.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    seconds: list[float] = []

    class Turns(TrainerCallback):
        started = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seconds.append(time.perf_counter() - self.started)
            after(len(seconds) - 1)

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        tokens = torch.tensor([row["tokens"] for row in rows])  # (batch, length)
        return {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "labels": tokens.clone(),
            "prompts": tokens[:, :1],
            "prompt_attention_mask": torch.ones_like(tokens[:, :1]),
        }

    with tempfile.TemporaryDirectory() as folder:
        config = GKDConfig(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=len(ids) // batch,
            learning_rate=1e-5,
            lmbda=0.0,
            beta=0.0,
            temperature=1.0,
            use_cpu=not torch.cuda.is_available(),
            bf16=half,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
            gradient_checkpointing=False,
            max_grad_norm=1.0,
            weight_decay=0.0,
            lr_scheduler_type="constant",
            disable_tqdm=True,
            shuffle_dataset=False,
            seed=0,
        )
        trainer = GKDTrainer(
            model=student,
            teacher_model=teacher,
            args=config,
            data_collator=collate,
            callbacks=[Turns()],
            train_dataset=Dataset.from_dict({"tokens": ids.tolist()}),
            processing_class=tokenizer,
        )
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return seconds, float(losses[-1])
