"""S: texts that should not be learned or sent to a host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from typing_extensions import override

from ftkit.linting.context import LintContext
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule, missing_extra
from ftkit.linting.text_normalization import excerpt

_MIN_SECRET = 16
"""Characters without whitespace that every secret has, except those in URLs and private keys."""
_LONG = re.compile(r"[A-Za-z0-9+/_=.:@-]{16,}")
_SPACES = re.compile(r" {3,}")
_NOT_SECRETS = ("Public IP (ipv4)",)

_KEYS = (
    ("Anthropic Key", re.compile(r"\bsk-ant-[a-z]{2,8}\d{2}-[\w-]{80,120}")),
    ("Google API Key", re.compile(r"\bAIza[\w-]{35}(?![\w-])")),
    ("Groq Key", re.compile(r"\bgsk_[A-Za-z0-9]{40,64}(?![A-Za-z0-9])")),
    ("Hugging Face Token", re.compile(r"\bhf_[A-Za-z]{30,40}(?![A-Za-z0-9])")),
    ("Langfuse Key", re.compile(r"\bsk-lf-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")),
    ("LangSmith Key", re.compile(r"\blsv2_[a-z]{2}_[0-9a-f]{32}_[0-9a-f]{10}\b")),
    ("OpenRouter Key", re.compile(r"\bsk-or-v1-[0-9a-f]{64}\b")),
    ("xAI Key", re.compile(r"\bxai-[A-Za-z0-9]{70,90}(?![A-Za-z0-9])")),
)
"""Keys of hosts and tracing tools that stand in prompts and detect-secrets does not know."""

_MAX_SEARCHED = 500_000
"""Characters of a row that S001 and S002 search, which bounds the time a row takes."""
_WINDOW, _STEP = 2_000, 1_000
"""Long texts are searched for secrets in windows of 2,000 characters that overlap by half: some patterns of
detect-secrets take time that grows with the square of the length. A secret of up to 1,000 characters is in one window.
"""


def _searched_texts(view: RowView) -> Iterator[tuple[str, str]]:
    """The texts of a row, cut off after :data:`_MAX_SEARCHED` characters together."""
    left = _MAX_SEARCHED
    for path, text in view.texts():
        yield path, text[:left]
        left = max(0, left - len(text))


def _cut_off(view: RowView) -> Iterator[RuleFinding]:
    """A finding if the row is longer than what is searched of it."""
    if len(view.all_text) > _MAX_SEARCHED:
        yield RuleFinding(f"only the first {_MAX_SEARCHED:,} characters of the row were searched", severity="info")


@cache
def _detectors() -> tuple[Any, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    classes = get_mapping_from_secret_type_to_class().items()
    return tuple(
        each() for kind, each in sorted(classes) if issubclass(each, RegexBasedDetector) and kind not in _NOT_SECRETS
    )


class Secret(RowRule):
    """A text contains what looks like a secret.

    A text contains what looks like a key, a token, a password in a URL, or a private key. A tuned model may repeat
    it to anyone, and a host stores the file.

    Found with the patterns of detect-secrets (AWS, Azure, GitHub, GitLab, OpenAI, Slack, Stripe, JWT, private keys, …),
    and those of Anthropic, Google, Groq, Hugging Face, Langfuse, LangSmith, OpenRouter and xAI.
    Searches the first 500,000 characters of a row. Revoke the secret, then replace it with a placeholder. Excerpts of
    the row show only its first letters.
    """

    code = "S001"
    name = "secret"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return missing_extra("detect_secrets")

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        all_text = view.all_text
        longest = max(map(len, all_text.split()), default=0)
        if longest < _MIN_SECRET and "://" not in all_text and "PRIVATE KEY" not in all_text:
            return
        for path, text in _searched_texts(view):
            for detector in _detectors():
                secret = _first_secret(detector, text)
                if secret is not None:
                    shown = excerpt(text, max(0, text.find(secret)))
                    yield RuleFinding(f"looks like a secret: {detector.secret_type}", path, shown)
            for kind, pattern in _KEYS:
                key = pattern.search(text)
                if key is not None:
                    yield RuleFinding(f"looks like a secret: {kind}", path, excerpt(text, key.start()))
        yield from _cut_off(view)


def _first_secret(detector: Any, text: str) -> str | None:
    """The first secret that a detector finds, in time proportional to the length of the text."""
    # Patterns of assignments ("key = …") take time that grows with the cube of a run of spaces.
    text = _SPACES.sub("  ", text)
    for start in range(0, max(1, len(text) - _STEP), _STEP):
        for secret in detector.analyze_string(text[start : start + _WINDOW]):
            if secret:
                return str(secret)
    return None


def mask_secrets(text: str) -> str:
    """Mask everything in a text that is long enough to be a secret.

    Args:
        text: the text.

    Returns:
        The text with only the first four characters of every run of 16 or more.
    """
    return _LONG.sub(lambda run: f"{run[0][:4]}…", text)


# Every repetition is bounded: a pattern such as [\w.+-]+@ takes time that grows with the square of a text of such
# characters. An address has at most 64 characters before the @ and 253 after it (RFC 5321).
_PERSONAL = (
    ("an e-mail address", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,190}[A-Za-z]\b")),
    ("a US social security number", re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b")),
    ("an IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("a card number", re.compile(r"(?<![\d+])(?=((?:\d{4}[ -]){3}\d{1,7}|\d{13,19})(?!\d))")),
    ("a phone number", re.compile(
        r"(?<![\w.-])(?:\+\d{1,15}(?:(?:[ .-]| ?\(|\)[ .-]?)\d{1,8}){0,6}"
        # In North America neither the area code nor the exchange begins with 0 or 1 (NANP).
        r"|\([2-9]\d\d\) ?[2-9]\d\d-\d{4}|[2-9]\d\d[.-][2-9]\d\d[.-]\d{4})(?![\w-]|\.\d)"
    )),
)  # fmt: skip
_FIVE_DIGITS = re.compile(r"\d[ ().-]{0,4}\d[ ().-]{0,4}\d[ ().-]{0,4}\d[ ().-]{0,4}\d")


class PersonalData(RowRule):
    """A text contains personal data.

    A text contains an e-mail address, a phone number, a card number or an IBAN (both with valid check digits), or a
    US social security number. Models repeat what they have seen, and data protection law requires a reason to store
    it.

    Review each finding: names and postal addresses are not searched, and examples such as ``@example.com`` are left
    out. Searches the first 500,000 characters of a row.
    """

    code = "S002"
    name = "personal-data"
    severity = "info"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if "@" not in view.all_text and not _FIVE_DIGITS.search(view.all_text):
            return
        for path, text in _searched_texts(view):
            for what, pattern in _PERSONAL:
                for match in pattern.finditer(text):
                    value = match[0] or match[1]  # card numbers are a look-ahead: digits before them hide none
                    if _is_personal(what, value) and not (what == "an e-mail address" and _is_in_url(text, match)):
                        shown = excerpt(text, match.start(), match.start() + len(value))
                        yield RuleFinding(f"contains {what}", path, shown)
                        break
        yield from _cut_off(view)


def _is_personal(what: str, text: str) -> bool:
    if what == "a card number":
        digits = [int(character) for character in text if character.isdigit()]
        doubled = [digit if at % 2 == 0 else sum(divmod(digit * 2, 10)) for at, digit in enumerate(reversed(digits))]
        return len(set(digits)) > 1 and sum(doubled) % 10 == 0
    if what == "an IBAN":
        plain = text.replace(" ", "")
        return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
    if what == "a phone number":
        return _is_phone_number(text)
    return _is_address(text) if what == "an e-mail address" else True


_EXAMPLE_LABELS = frozenset({"example", "test", "invalid"})
"""Labels of hosts that are reserved for documents and tests (RFC 2606)."""
_FILE_SUFFIXES = frozenset(
    {
        *("avif", "bmp", "css", "csv", "gif", "gz", "htm", "html", "jpeg", "jpg", "js", "json", "mp3", "mp4", "pdf"),
        *("png", "svg", "tar", "tgz", "txt", "webp", "xml", "yaml", "yml"),
    }
)
"""Ends of names of files that are no top-level domains."""
_VERSION = re.compile(r"\d+\.\d")


def _is_address(text: str) -> bool:
    """Whether an e-mail address is a person's: no example, no file ("icon@2x.png"), no version ("react@18.2.0-rc")."""
    name, _, host = text.partition("@")
    ending = host.rpartition(".")[2].lower()
    if name == "git" or _VERSION.match(host) or ending in _FILE_SUFFIXES or not ending.isalpha() or len(ending) < 2:
        return False
    return _EXAMPLE_LABELS.isdisjoint(host.lower().split("."))


def _is_in_url(text: str, match: re.Match[str]) -> bool:
    """Whether an address is name and host of a URL ("https://anna:pass@host.org"), which S001 reports."""
    before = text[max(0, match.start() - 80) : match.start()].rpartition(" ")[2]
    return "://" in before.rpartition("\n")[2] and "mailto" not in before


_THOUSANDS = re.compile(r"\+\d{1,3}(?:([ .])\d{3})(?:\1\d{3})?")
_DATE = re.compile(r"\+\d{4}-\d{2}-\d{2}")


def _is_phone_number(text: str) -> bool:
    """Whether digits with separators are a phone number: 7 to 15 digits (E.164), and not another number."""
    digits = sum(character.isdigit() for character in text)
    separators = {character for character in text if character in " .-"}
    # "+22.505" is a measurement and "+40.7128 -74.0060" a coordinate; "+1.212.555.0123" has more than one point.
    if "." in separators and (len(separators) > 1 or text.count(".") < 2):
        return False
    if _THOUSANDS.fullmatch(text) or _DATE.fullmatch(text):
        return False
    return (7 if separators or "(" in text else 10) <= digits <= 15


_INJECTION = re.compile(
    r"(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|the\s+|your\s+|these\s+)*(?:of\s+)?(?:previous|prior|above|earlier|preceding)"
    r"\s+(?:instructions?|prompts?|rules|messages?|context)"
    r"|(?:reveal|print|show|repeat)\s+(?:me\s+)?(?:your|the)\s+(?:system|hidden|secret)\s+(?:prompt|instructions?)"
    r"|you\s+are\s+now\s+(?:dan|in\s+developer\s+mode|unrestricted|jailbroken)|\bdo\s+anything\s+now\b"
    r"|<\|(?:im_start|im_end|system|endoftext|eot_id|begin_of_text)\|>|\[/?INST\]|<</?SYS>>",
    re.IGNORECASE,
)
_INJECTION_WORDS = (
    *("previous", "prior", "above", "earlier", "preceding", "prompt", "instructions", "you are now", "anything now"),
    *("<|", "inst]", "sys>>"),
)


class PromptInjection(RowRule):
    """A text tries to override instructions, or contains control tokens.

    A text tries to override instructions ("ignore all previous instructions"), or contains control tokens of a chat
    template as text (``<|im_start|>``). As an input with an obedient answer it teaches obedience, and control tokens
    in a text break the turns apart.

    Keep such rows only if the answer is the refusal that you want.
    """

    code = "S003"
    name = "prompt-injection"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        lowered = view.all_text_lowered
        if not any(word in lowered for word in _INJECTION_WORDS):
            return
        for path, text in view.texts():
            match = _INJECTION.search(text)
            if match is not None:
                what = "contains a control token" if match[0][:1] in "<[" else "tries to override instructions"
                yield RuleFinding(what, path, excerpt(text, match.start(), match.end()))


_PHRASES_BY_RISK = {
    "self-harm": (
        *("kill myself", "kill yourself", "commit suicide", "suicide method", "cut myself", "end my life", "self-harm"),
    ),
    "violence": ("make a bomb", "build a bomb", "pipe bomb", "mass shooting", "beheading", "beheaded"),
    "sexual content": ("porn", "explicit sex", "nude photo", "nude picture"),
    "hate": ("ethnic cleansing", "white power", "subhuman"),
    "illicit": ("cook meth", "credit card dump", "ransomware payload", "counterfeit money"),
}
_RISK_BY_PHRASE = {phrase: kind for kind, phrases in _PHRASES_BY_RISK.items() for phrase in phrases}


class ModerationRisk(RowRule):
    """A text contains words for which hosts refuse files.

    A text contains words for which moderation of hosts refuses training files (OpenAI checks every file, and refuses
    a file with too many flagged rows, https://platform.openai.com/docs/guides/fine-tuning-best-practices).

    A short list of phrases, so that a refusal is no surprise. It is not a moderation model, and in medicine, law or
    news such words are legitimate.
    """

    code = "S004"
    name = "moderation-risk"
    severity = "info"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        lowered = view.all_text_lowered
        phrases = [phrase for phrase in _RISK_BY_PHRASE if phrase in lowered]
        for path, text in view.texts() if phrases else ():
            for phrase in phrases:
                at = text.lower().find(phrase)
                if at >= 0:
                    shown = excerpt(text, at, at + len(phrase))
                    yield RuleFinding(f"words that moderation may refuse ({_RISK_BY_PHRASE[phrase]})", path, shown)
                    break


IGNORABLE_CHARACTERS = "\u200b\u2060\ufeff\u00ad"
"""Invisible characters without meaning in any script: zero-width space, word joiner, byte-order mark, soft hyphen. Not
the joiners U+200C and U+200D, which Persian, Hindi and emoji need."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffd"
    "\U000e0000-\U000e007f]"
)


_DIRECTION_MARKS = frozenset("\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069")
"""Marks and embeddings that texts from right to left need. Not the overrides U+202D and U+202E, which hide text."""
_ZERO_WIDTH_SPACE = "\u200b"
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")
"""Letters of scripts that separate words by a zero-width space: Thai, Lao, Tibetan, Burmese, Khmer."""
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,7}\U000e007f")
"""A flag such as that of Scotland: an emoji with tag characters."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001eeff]")
"""Letters of scripts that are written from right to left: Hebrew, Arabic, Persian, Syriac, Thaana, N'Ko and others."""


def remove_ignorable(text: str) -> str:
    """Remove the invisible characters without a meaning in a text.

    Args:
        text: any text.

    Returns:
        The text without :data:`IGNORABLE_CHARACTERS`; zero-width spaces stay in scripts that need them.
    """
    removed = IGNORABLE_CHARACTERS
    if _WITHOUT_SPACES.search(text):
        removed = removed.replace(_ZERO_WIDTH_SPACE, "")
    return text.translate(dict.fromkeys(map(ord, removed)))


class InvisibleCharacters(RowRule):
    """A text contains control or invisible characters.

    A text contains control characters, zero-width or direction characters, tag characters, or the replacement
    character of a wrong decoding. They are invisible, but the tokenizer reads them: "Anna" with a zero-width space
    is another name, and tag characters can hide instructions.

    Line feeds and tabs are allowed, and so are the joiners that scripts and emoji need, direction marks in texts of
    right-to-left scripts (Arabic, Persian, Hebrew), zero-width spaces in scripts without spaces (Thai, Khmer), and the
    tags of flags. ``--fix`` removes from answers those that have no meaning there (U+200B, U+2060, U+FEFF, U+00AD).
    """

    code = "S005"
    name = "invisible-characters"
    fixable = True

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if not _INVISIBLE.search(view.all_text):
            return
        last = f"messages[{len(view.messages) - 1}].content"
        for path, text in view.texts():
            allowed: set[str] = set()
            if _RIGHT_TO_LEFT.search(text):
                allowed |= _DIRECTION_MARKS
            if _WITHOUT_SPACES.search(text):
                allowed.add(_ZERO_WIDTH_SPACE)
            # A flag is replaced by as many visible characters, so that places stay the same.
            plain = _FLAG.sub(lambda flag: "-" * len(flag[0]), text)
            match = next((each for each in _INVISIBLE.finditer(plain) if each[0] not in allowed), None)
            if match is not None:
                shown = excerpt(text, match.start())
                fixable = path == last and match[0] in IGNORABLE_CHARACTERS
                message = f"contains the invisible character U+{ord(match[0]):04X}"
                yield RuleFinding(message, path, shown, fixable=fixable)
