"""Texts on which two tokenizers show whether they cut alike: spaces, digits, scripts, code, marks, line ends."""

PROBES = (
    "Hello world, the game ended",
    "The quick brown fox, 1234567890 times; it's 3.14 % of $5!",
    "  two leading spaces,\ttab\nnew line\n\n\nthree",
    "spaces   inside and at the end   \r\n",
    "def f(x: int) -> str:\n    return f'{x!r}' # comment",
    "na\u00efve caf\u00e9 \u00fcber \u0142\u00f3d\u017a \u00c5ngstr\u00f6m",
    "cafe\u0301 A\u030angstro\u0308m \ufb01t \u2460 \uff21\uff22",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u4e2d\u6587 \u65e5\u672c\u8a9e",
    "\ud55c\uad6d\uc5b4 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f600 \U0001f469\u200d\U0001f680 \u2211\u222b\u221e \u2014 \u201cquoted\u201d \u2581low\u00a0line",
    "ALL CAPS MixedCase snake_case http://example.org/a?b=c&d=1",
    "It's we're I'LL don't; (a) [b] {c} <d> 12,345.67 1st 2024-11-30",
)
