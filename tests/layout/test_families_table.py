"""The page of families is the one that the list of families makes."""

from scripts.families_table import PAGE, page


def test_the_page_is_written_anew_with_the_list() -> None:
    assert PAGE.read_text("utf-8") == page(), "run 'python -m scripts.families_table'"


def test_what_it_says_of_four_families() -> None:
    rows = {line.split("`")[1]: line for line in page().splitlines() if line.startswith("| `")}
    assert rows["llama"] == "| `llama` | layers, neurons, heads, key-value groups, hidden channels |  | yes |"
    assert rows["gpt_neox"] == "| `gpt_neox` | layers, neurons, hidden channels with their heads |  |  |"
    assert rows["mixtral"].split("|")[2] == " layers, heads, key-value groups, hidden channels, experts "
    assert rows["mamba"].split("|")[2] == " layers "
