"""What a prompt asks for, by rules that anyone can check: a tag to break results down by."""

from __future__ import annotations

import re

__all__ = ["CATEGORIES", "categorise", "language_of"]

_FLAGS = re.IGNORECASE
CATEGORIES: dict[str, re.Pattern[str]] = {
    "code": re.compile(
        r"```|\b(python|java(script)?|typescript|c\+\+|rust|golang|sql|html|css|bash|regex|numpy"
        r"|pandas|docker|git)\b|\b(write|fix|debug|refactor|explain) (a |an |the |my |this )?"
        r"(\w+ )?(code|function|program|script|query|class|unit tests?)\b|\bdef \w+\(|\bimport \w+"
        r"|代码|编程|函数|lập trình|đoạn mã|hàm số python",
        _FLAGS,
    ),
    "maths": re.compile(
        r"\$[^$\n]*[=^\\][^$\n]*\$|\d\s*([-+*/×÷^=]|plus|minus|times)\s*\d|\b(solve|prove|integral|derivative"
        r"|equation|theorem|probability|matrix|calculate|compute|arithmetic|geometry|algebra"
        r"|how many .{0,60}\bleft)\b|方程|证明|计算|概率|phương trình|chứng minh|xác suất"
        r"|tính toán",
        _FLAGS,
    ),
    "translation": re.compile(
        r"\btranslat(e|ion|ing)\b|\b(in|into) (english|french|german|spanish|chinese|japanese"
        r"|vietnamese|korean|italian|portuguese|russian|arabic|hindi)\b|翻译|\bdịch\b",
        _FLAGS,
    ),
    "summary": re.compile(
        r"\b(summari[sz]e|summary|tl;?dr|key points|shorten|condense)\b|总结|摘要|tóm tắt", _FLAGS
    ),
    "writing": re.compile(
        r"\b(write|compose|draft|rewrite|continue)\b.{0,40}\b(poem|story|essay|email|e-mail|letter"
        r"|song|lyrics|haiku|article|blog|speech|limerick|scene|dialogue|joke|advertisement)\b"
        r"|\b(poem|haiku|short story)\b|写一(首|篇|封|个)|诗|viết (một )?(bài|thư|truyện)|bài thơ",
        _FLAGS,
    ),
    "role play": re.compile(
        r"\b(pretend|act as|you are now|imagine you|role-?play|in the style of)\b|扮演|假装"
        r"|đóng vai|giả vờ",
        _FLAGS,
    ),
    "advice": re.compile(
        r"\b(should i|how (do|can|should) i|recommend|suggest|advice|tips|plan (a|my))\b"
        r"|建议|推荐|怎么办|tôi nên|lời khuyên|gợi ý",
        _FLAGS,
    ),
    "question": re.compile(
        r"^\W*(what|who|whom|whose|when|where|why|which|how|is|are|was|were|do|does|did|can|could"
        r"|explain|describe|define|tell me)\b|[?？]|什么|为什么|谁|哪|gì|tại sao|giải thích",
        _FLAGS,
    ),
}
"""The first that fits counts, so the order goes from the special to the general."""

_VIETNAMESE = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", _FLAGS)
_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
}
_LEAST_SHARE = 0.2


def categorise(prompt: str) -> str:
    """Return a prompt's category, ``other`` if none fits."""
    fitting = (name for name, pattern in CATEGORIES.items() if pattern.search(prompt))
    return next(fitting, "other")


def language_of(prompt: str) -> str:
    """Guess a prompt's language by its letters: a code of ISO 639-1, ``latin`` for the rest.

    A script counts from a fifth of the letters on, so that a quoted word doesn't decide.
    """
    n_letters = sum(letter.isalpha() for letter in prompt)
    for code, script in _SCRIPTS.items():
        if n_letters and len(script.findall(prompt)) >= _LEAST_SHARE * n_letters:
            return code
    return "vi" if len(_VIETNAMESE.findall(prompt)) >= 2 else "latin"
