"""What a person should read of the studies in `studies.py`, written out by hand from their figures.

One definition for all surfaces. Candidate -> figure -> value, interval, change against the original, evidence.
"""

from __future__ import annotations

from typing import NamedTuple

TIE, SAME = "no difference beyond the error", "the same"
WANDA_20, WANDA_37, MAGNITUDE = "Wanda 20 %", "Wanda 37.5 %", "Magnitude 50 %"
FOUR = "Layer removal (block influence), 4 layers removed"
SIX = "Layer removal (block influence), 6 layers removed"
THREE = "Layer removal (block influence), 3 layers removed"
WANDA_24 = "Wanda 2:4"
DENSE = "Dense baseline"


class Read(NamedTuple):
    """What stands beside a figure; '' where nothing does."""

    value: str
    interval: str = ""
    change: str = ""
    evidence: str = ""
    estimated: bool = False


Figures = dict[str, Read]

SMALL: dict[str, Figures] = {
    DENSE: {
        "Perplexity": Read("29.22", "27.01 to 31.61"),
        "PIQA accuracy": Read("0.684", "0.651 to 0.715"),
        "Parameters": Read("134.5 M"),
        "Non-zero parameters": Read("134.5 M"),
        "Sparsity of the whole model": Read("0.0 %"),
        "Sparsity of the pruned matrices": Read("0.0 %"),
        "Weights on disk": Read("269.1 MB"),
        "Memory of the weights": Read("269.0 MB"),
        "Peak memory": Read("812.3 MB"),
        "Key-value cache per token": Read("23.0 kB"),
    },
    MAGNITUDE: {
        "Perplexity": Read("612.4", "560.2 to 671.3", "+583.2"),
        "Loss change": Read("3.04 nats", "2.98 to 3.1 nats"),
        "KL to the baseline": Read("2.91 nats", "2.87 to 2.96 nats"),
        "Same top token as the baseline": Read("31.2 %", "29.9 to 32.6 %"),
        "PIQA accuracy": Read("0.531", "0.493 to 0.569", "\u22120.153", "McNemar p < 0.001: 91 items lost, 22 won"),
        "Parameters": Read("134.5 M", "", SAME),
        "Non-zero parameters": Read("81.4 M", "", "\u221253.1 M"),
        "Sparsity of the whole model": Read("39.5 %", "", "+39.5 points"),
        "Sparsity of the pruned matrices": Read("50.0 %", "", "+50.0 points"),
        "Weights on disk": Read("269.1 MB", "", SAME),
        "Memory of the weights": Read("269.0 MB", "", SAME),
        "Peak memory": Read("815.0 MB", "", "+0.3 %"),
        "Key-value cache per token": Read("23.0 kB", "", SAME),
    },
    WANDA_37: {
        "Perplexity": Read("31.03", "28.71 to 33.62", "+1.81"),
        "Loss change": Read("0.0601 nats", "0.0412 to 0.0793 nats"),
        "KL to the baseline": Read("0.0824 nats", "0.0799 to 0.0851 nats"),
        "Same top token as the baseline": Read("84.4 %", "83.1 to 85.6 %"),
        "PIQA accuracy": Read("0.671", "0.637 to 0.703", TIE, "McNemar p = 0.34: 14 items lost, 9 won"),
        "Parameters": Read("134.5 M", "", SAME),
        "Non-zero parameters": Read("94.7 M", "", "\u221239.8 M"),
        "Sparsity of the whole model": Read("29.6 %", "", "+29.6 points"),
        "Sparsity of the pruned matrices": Read("37.5 %", "", "+37.5 points"),
        "Weights on disk": Read("269.1 MB", "", SAME),
        "Memory of the weights": Read("269.0 MB", "", SAME),
        "Peak memory": Read("813.0 MB", "", "+0.08 %"),
        "Key-value cache per token": Read("23.0 kB", "", SAME),
    },
    WANDA_20: {
        "Perplexity": Read("29.29", "27.08 to 31.69", TIE),
        "Loss change": Read("0.0024 nats", "\u22120.0041 to 0.0089 nats"),
        "KL to the baseline": Read("0.0113 nats", "0.0108 to 0.0118 nats"),
        "Same top token as the baseline": Read("94.1 %", "93.2 to 94.9 %"),
        "PIQA accuracy": Read("0.682", "0.649 to 0.713", TIE, "McNemar p = 0.82: 6 items lost, 5 won"),
        "Parameters": Read("134.5 M", "", SAME),
        "Non-zero parameters": Read("113.3 M", "", "\u221221.2 M"),
        "Sparsity of the whole model": Read("15.8 %", "", "+15.8 points"),
        "Sparsity of the pruned matrices": Read("20.0 %", "", "+20.0 points"),
        "Weights on disk": Read("269.1 MB", "", SAME),
        "Memory of the weights": Read("269.0 MB", "", SAME),
        "Peak memory": Read("814.0 MB", "", "+0.2 %"),
        "Key-value cache per token": Read("23.0 kB", "", SAME),
    },
    FOUR: {
        "Perplexity": Read("58.26", "53.8 to 63.1", "+29.04"),
        "Loss change": Read("0.69 nats", "0.641 to 0.739 nats"),
        "KL to the baseline": Read("0.734 nats", "0.715 to 0.754 nats"),
        "Same top token as the baseline": Read("61.7 %", "60.2 to 63.1 %"),
        "PIQA accuracy": Read("0.603", "0.567 to 0.638", "\u22120.081", "McNemar p < 0.001: 70 items lost, 31 won"),
        "Parameters": Read("120.4 M", "", "\u221211 %"),
        "Non-zero parameters": Read("120.4 M", "", "\u221214.2 M"),
        "Sparsity of the whole model": Read("0.0 %", "", SAME),
        "Sparsity of the pruned matrices": Read("0.0 %", "", SAME),
        "Weights on disk": Read("240.7 MB", "", "\u221211 %"),
        "Memory of the weights": Read("240.7 MB", "", "\u221211 %"),
        "Peak memory": Read("731.0 MB", "", "\u221210 %", estimated=True),
        "Key-value cache per token": Read("20.0 kB", "", "\u221213 %"),
    },
}

FOLLOW: dict[str, Figures] = {
    DENSE: SMALL[DENSE],
    SIX: {
        "Perplexity": Read("89.4", "82.1 to 97.5", "+60.18"),
        "Loss change": Read("1.12 nats", "1.06 to 1.17 nats"),
        "PIQA accuracy": Read("0.571", "0.535 to 0.607", "\u22120.113", "McNemar p < 0.001: 99 items lost, 42 won"),
        "Parameters": Read("113.3 M", "", "\u221216 %"),
        "Non-zero parameters": Read("113.3 M", "", "\u221221.2 M"),
        "Sparsity of the whole model": Read("0.0 %", "", SAME),
        "Sparsity of the pruned matrices": Read("0.0 %", "", SAME),
        "Weights on disk": Read("226.6 MB", "", "\u221216 %"),
        "Memory of the weights": Read("226.6 MB", "", "\u221216 %"),
        "Peak memory": Read("690.0 MB", "", "\u221215 %"),
        "Key-value cache per token": Read("18.4 kB", "", "\u221220 %"),
    },
    WANDA_37: SMALL[WANDA_37],
}

LARGE: dict[str, Figures] = {
    DENSE: {
        "Perplexity": Read("11.07", "10.41 to 11.78"),
        "PIQA accuracy": Read("0.745", "0.714 to 0.774"),
        "Parameters": Read("1.2 B"),
        "Non-zero parameters": Read("1.2 B"),
        "Sparsity of the whole model": Read("0.0 %"),
        "Sparsity of the pruned matrices": Read("0.0 %"),
        "Weights on disk": Read("2.5 GB"),
        "Memory of the weights": Read("2.5 GB"),
        "Peak memory": Read("3.3 GB"),
        "Key-value cache per token": Read("32.8 kB"),
    },
    THREE: {
        "Perplexity": Read("16.91", "15.88 to 18.03", "+5.84"),
        "Loss change": Read("0.424 nats", "0.402 to 0.445 nats"),
        "PIQA accuracy": Read("0.702", "0.669 to 0.733", "\u22120.043", "McNemar p = 0.0031: 58 items lost, 29 won"),
        "Parameters": Read("1.1 B", "", "\u221215 %"),
        "Non-zero parameters": Read("1.1 B", "", "\u2212182.4 M"),
        "Sparsity of the whole model": Read("0.0 %", "", SAME),
        "Sparsity of the pruned matrices": Read("0.0 %", "", SAME),
        "Weights on disk": Read("2.1 GB", "", "\u221215 %"),
        "Memory of the weights": Read("2.1 GB", "", "\u221215 %"),
        "Peak memory": Read("2.9 GB", "", "\u221212 %"),
        "Key-value cache per token": Read("26.6 kB", "", "\u221219 %"),
    },
    WANDA_24: {
        "Perplexity": Read("14.62", "13.71 to 15.6", "+3.55"),
        "Loss change": Read("0.278 nats", "0.262 to 0.294 nats"),
        "PIQA accuracy": Read("0.724", "0.692 to 0.754", "\u22120.021", "McNemar p = 0.041: 33 items lost, 17 won"),
        "Parameters": Read("1.2 B", "", SAME),
        "Non-zero parameters": Read("749.3 M", "", "\u2212486.5 M"),
        "Sparsity of the whole model": Read("39.4 %", "", "+39.4 points"),
        "Sparsity of the pruned matrices": Read("50.0 %", "", "+50.0 points"),
        "Weights on disk": Read("2.5 GB", "", SAME),
        "Memory of the weights": Read("2.5 GB", "", SAME),
        "Peak memory": Read("3.3 GB", "", "+0.3 %"),
        "Key-value cache per token": Read("32.8 kB", "", SAME),
    },
}

STUDIES = {"small": SMALL, "follow": FOLLOW, "large": LARGE}

EXECUTIVES = ("PIQA accuracy", "Weights on disk", "Memory of the weights")
"""What a report for executives keeps of these, apart from times, money and energy."""

LEFT = "Weights left where pruned"
SHARES: dict[str, dict[str, dict[str, str]]] = {
    "small": {
        MAGNITUDE: {
            LEFT: "50 %",
            "Parameters": "100 %",
            "Weights on disk": "100 %",
            "Memory of the weights": "100 %",
            "Peak memory": "100.3 %",
        },
        WANDA_37: {
            LEFT: "62.5 %",
            "Parameters": "100 %",
            "Weights on disk": "100 %",
            "Memory of the weights": "100 %",
            "Peak memory": "100.1 %",
        },
        WANDA_20: {
            LEFT: "80 %",
            "Parameters": "100 %",
            "Weights on disk": "100 %",
            "Memory of the weights": "100 %",
            "Peak memory": "100.2 %",
        },
        FOUR: {
            "Parameters": "89 %",
            "Weights on disk": "89 %",
            "Memory of the weights": "89 %",
            "Peak memory": "90 %, estimated",
        },
    },
    "follow": {
        SIX: {"Parameters": "84 %", "Weights on disk": "84 %", "Memory of the weights": "84 %", "Peak memory": "85 %"},
        WANDA_37: {
            LEFT: "62.5 %",
            "Parameters": "100 %",
            "Weights on disk": "100 %",
            "Memory of the weights": "100 %",
            "Peak memory": "100.1 %",
        },
    },
    "large": {
        THREE: {
            "Parameters": "85 %",
            "Weights on disk": "85 %",
            "Memory of the weights": "85 %",
            "Peak memory": "88 %",
        },
        WANDA_24: {
            LEFT: "50 %",
            "Parameters": "100 %",
            "Weights on disk": "100 %",
            "Memory of the weights": "100 %",
            "Peak memory": "100.3 %",
        },
    },
}
"""Each cost as a share of the original's, as the bars write it; times stand beside these."""

TURNS = "of the dense model's, timed in turns"
TIMES_SMALL: dict[str, Figures] = {
    DENSE: {
        "Prefill latency": Read("128 ms"),
        "Latency per token": Read("33.8 ms"),
        "Cost per million tokens": Read("23.5 EUR", estimated=True),
        "Energy per million tokens": Read("2.82 kWh", estimated=True),
    },
    MAGNITUDE: {
        "Prefill latency": Read("128 ms", "126 to 129 ms", TIE, f"99.6 % (98.6 to 100.6 %) {TURNS}"),
        "Latency per token": Read("33.9 ms", "33.6 to 34.2 ms", TIE, f"100.3 % (99.3 to 101.3 %) {TURNS}"),
        "Cost per million tokens": Read("23.5 EUR", "23.3 to 23.8 EUR", TIE, estimated=True),
        "Energy per million tokens": Read("2.82 kWh", "2.8 to 2.85 kWh", TIE, estimated=True),
    },
    WANDA_37: {
        "Prefill latency": Read("128 ms", "127 to 130 ms", TIE, f"100.3 % (99.3 to 101.3 %) {TURNS}"),
        "Latency per token": Read("33.7 ms", "33.4 to 34 ms", TIE, f"99.7 % (98.7 to 100.7 %) {TURNS}"),
        "Cost per million tokens": Read("23.4 EUR", "23.2 to 23.6 EUR", TIE, estimated=True),
        "Energy per million tokens": Read("2.81 kWh", "2.78 to 2.84 kWh", TIE, estimated=True),
    },
    WANDA_20: {
        "Prefill latency": Read("128 ms", "127 to 129 ms", TIE, f"99.9 % (98.9 to 100.9 %) {TURNS}"),
        "Latency per token": Read("33.8 ms", "33.5 to 34.1 ms", TIE, f"100.0 % (99.0 to 101.0 %) {TURNS}"),
        "Cost per million tokens": Read("23.5 EUR", "23.2 to 23.7 EUR", TIE, estimated=True),
        "Energy per million tokens": Read("2.82 kWh", "2.79 to 2.84 kWh", TIE, estimated=True),
    },
    FOUR: {
        "Prefill latency": Read("113 ms", "112 to 114 ms", "\u221212 %", f"88.2 % (87.3 to 89.1 %) {TURNS}"),
        "Latency per token": Read("29.9 ms", "29.6 to 30.2 ms", "\u221212 %", f"88.5 % (87.6 to 89.3 %) {TURNS}", True),
        "Cost per million tokens": Read("20.8 EUR", "20.6 to 21 EUR", "\u221212 %", estimated=True),
        "Energy per million tokens": Read("2.49 kWh", "2.47 to 2.52 kWh", "\u221212 %", estimated=True),
    },
}
"""Ratios times 128 and 33.8 ms, what the dense model took: by hand, at 2.5 EUR an hour and 300 watts.

'Magnitude 50 %' was timed at a moment when everything took twice as long.
"""
