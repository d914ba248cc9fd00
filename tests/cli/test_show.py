"""The table of results on a terminal: intervals and ties stand in it, and times are comparable ones."""

from __future__ import annotations

import pytest

from core.commands.show import show_results
from core.recipe.results import Result
from core.registry.measurement import Measurement
from tests.analysis.test_paired_times import model, paired, time


def test_errors_ties_and_what_times_are_stand_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    loss = Measurement(metric="loss_change", value=0.002, unit="nats", low=-0.001, high=0.005)
    wanda = model("wanda", 25.05, paired(1.003, 49.45))
    wanda.measurements.append(loss)
    found = [
        model("dense", 25.0, time(120.0)),
        wanda,
        model("short", 40.0, paired(0.8, 50.0), 230.0),
        model("busy", 26.0, paired(0.9, 70.0, contended=True)),
        model("alone", 26.0, time(10.0)),
    ]
    show_results(found)
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "25.05 (24.95 to 25.15), tie" in rows["wanda"] and "50.1 ms (49.4 to 50.9 ms), tie" in rows["wanda"]
    assert "40 (39.9 to 40.1)  " in rows["short"] and "40 ms (39.2 to 40.8 ms)" in rows["short"]
    assert "45 ms (44.2 to 45.8 ms), busy" in rows["busy"]
    assert "10 ms (9.7 to 10.4 ms), not comparable" in rows["alone"]
    assert "50 ms" in rows["dense"] and "120" not in out and "tie" not in rows["dense"] + rows["short"]
    assert "ratio to the dense model timed in turns with it, times 50 ms" in out
    assert "tie: no difference" in out and "busy: timed" in out and "not comparable: timed without" in out


def test_marks_that_are_not_used_are_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    size = Measurement(metric="disk_bytes", value=1e6, unit="B")
    show_results([Result(key="k", label="Dense", model="m", method="dense", baseline=True, measurements=[size])])
    out = capsys.readouterr().out
    assert "1.0 MB" in out and "tie" not in out and "busy" not in out


def test_distance_to_the_original_stands_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    kl = Measurement(metric="kl_to_teacher", value=0.125, unit="nats", low=0.12, high=0.13)
    top = Measurement(metric="top1_agreement", value=87.5, unit="%", low=87.0, high=88.0)
    show_results([Result(key="k", label="Wanda", model="m", method="wanda", measurements=[kl, top])])
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert "KL to the baseline" in head and "Same top token as the baseline" in head
    assert "0.125 nats (0.12 to 0.13 nats)" in row and "87.5 % (87.0 to 88.0 %)" in row and "tie" not in row


def test_what_follows_stands_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    def candidate(key: str, method: str, change: float, size: float) -> Result:
        figures = [
            Measurement(metric="loss", value=2.0 + change, unit="nats"),
            Measurement(metric="loss_change", value=change, unit="nats", low=change - 0.01, high=change + 0.01),
            Measurement(metric="disk_bytes", value=size, unit="B"),
        ]
        return Result(
            key=key,
            label=key,
            model="m",
            method=method,
            baseline=method == "dense",
            baseline_key="Dense",
            measurements=figures,
        )

    show_results(
        [
            candidate("Six", "block_influence", 0.4, 84e6),
            candidate("Dense", "dense", 0.0, 100e6),
            candidate("Three", "block_influence", 0.08, 92e6),
        ]
    )
    said = capsys.readouterr().out
    assert (
        "Within +5 % loss: Three (file \u22128 %, loss +4 %). Smaller still: Six (file \u221216 %, loss +20 %). "
        "Nothing here is smaller at no loss."
    ) in said
    assert "Next: Train Six by the original: what it gives up may come back." in said
