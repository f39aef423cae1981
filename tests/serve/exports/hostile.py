"""Two hundred names that should never have become names."""

from __future__ import annotations

import random

_SEEDS = (
    *("=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0=1"),
    *('=HYPERLINK("http://x","y")', "＝1+1", "－1", 'a"b', "a'b", "a,b", "a;b", "a|b", "a\tb"),
    *(
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
    ),
    *(
        "{{7*7}}",
        "{% raw %}",
        "${7*7}",
        "$x^2$",
        "\\frac{1}{0}",
        "%s%s%n",
        "%00",
        "'; DROP TABLE x;--",
    ),
    *("../../etc/passwd", "..\\..\\windows", "NUL", "con", "", " ", "#", "+", "$SYS/x", "plant/#"),
    *("a\r\nEND:VEVENT\r\nBEGIN:VEVENT", "a\nb", "a\rb", "a;b,c\\d", "\x00null", "\x1b[31mred"),
    *(
        "\u202egnp.exe",
        "\u2066x\u2069",
        "\u200fabc",
        "العربية",
        "日本語",
        "\ud800lone",
        "\ufeffbom",
    ),
    *("🔧" * 40, "é" * 100, "A" * 10_000, "é" * 5_000, "None", "true", "0"),
    *("[red]x[/red]", "[link=file:///etc/passwd]x[/link]"),
)


def hostile_names(count: int = 200, seed: int = 1) -> list[str]:
    """Return the seeds and mixtures of them."""
    rng = random.Random(seed)
    names = list(_SEEDS)
    while len(names) < count:
        names.append("".join(rng.sample(_SEEDS, 2))[: rng.choice((40, 200, 12_000))])
    return names[:count]
