"""Tokenizers of every kind that can be trimmed, trained on lines in several scripts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WORDS = {
    "latin": "the river model smaller faster lighthouse measured weight naïve café über strange children market rain",
    "cyrillic": "река модель меньше быстрее маяк измерил вес дети рынок дождь утром открылся город мельница",
    "greek": "ποτάμι μοντέλο μικρότερο φάρος βάρος παιδιά αγορά βροχή πόλη μύλος νερό",
    "arabic": "نهر نموذج أصغر أسرع منارة وزن أطفال سوق مطر مدينة",
    "devanagari": "नदी मॉडल छोटा तेज़ वज़न बच्चे बाज़ार बारिश शहर",
    "han": "河流 模型 更小 更快 灯塔 重量 孩子 市场 下雨 城市",
    "hangul": "강 모델 작은 빠른 등대 무게 아이들 시장 비 도시",
    "code": "def return self.x += 1; for(i=0;i<10;i++) {print('a')} http://example.org/a?b=1 snake_case",
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>")
KINDS = ("bytes", "characters", "fallback", "wordpiece", "unigram", "unigram-fallback")


def lines(count: int, seed: int, scripts: tuple[str, ...] = tuple(WORDS)) -> list[str]:
    """Lines of a few words, some of them run together or cut short, with numbers and marks between."""
    draw = random.Random(seed)
    known = [w for script in scripts for w in WORDS[script].split()]

    def words() -> Iterator[str]:
        for _ in range(draw.randint(2, 9)):
            word = draw.choice(known)
            form = draw.random()
            yield (
                word + draw.choice(known) if form < 0.1 else word[: draw.randint(1, len(word))] if form < 0.2 else word
            )
            if draw.random() < 0.15:
                yield draw.choice(("1834", "3.14", "—", "(a)", "😀", "!?", "\t", "  "))

    return [" ".join(words()) for _ in range(count)]


def _with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Its tokens for single bytes are ordinary ones, as in the models that have them."""
    definition = json.loads(tokenizer.to_str())
    definition["model"]["byte_fallback"] = True
    definition["added_tokens"] = [t for t in definition["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(definition))


def made(kind: str, size: int = 900) -> Tokenizer:
    """A tokenizer of one of `KINDS`, with special tokens and a frame around each text."""
    text, special = lines(1_500, 0), list(SPECIAL)
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer: trainers.Trainer = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=special, show_progress=False
        )
    elif kind.startswith("unigram"):
        extra = [f"<0x{i:02X}>" for i in range(256)] if kind == "unigram-fallback" else []
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()] if extra else [decoders.Metaspace()]
        )
        trainer = trainers.UnigramTrainer(
            vocab_size=size + len(extra), special_tokens=[*special, *extra], unk_token="[UNK]", show_progress=False
        )
    else:
        fallback = kind == "fallback"
        tokenizer = Tokenizer(models.BPE(byte_fallback=fallback, unk_token=None if kind == "bytes" else "[UNK]"))
        extra = [f"<0x{i:02X}>" for i in range(256)] if fallback else []
        if kind == "bytes":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Sequence(
                [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()] if fallback else [decoders.Metaspace()]
            )
        trainer = trainers.BpeTrainer(
            vocab_size=size + len(extra),
            special_tokens=[*special, *extra],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if kind == "bytes" else [],
            show_progress=False,
        )
    tokenizer.train_from_iterator(text, trainer)
    if kind.endswith("fallback"):
        tokenizer = _with_bytes(tokenizer)
    before, after = ("[CLS]", "[SEP]") if kind == "wordpiece" else ("<s>", "</s>")
    ids = [(token, tokenizer.token_to_id(token)) for token in (before, after)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{before} $A {after}", special_tokens=ids)
    return tokenizer
