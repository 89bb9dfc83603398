"""S: what should not be learned or sent to a host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ftkit.linting.finding import Found
from ftkit.linting.rule import RowRule, not_installed
from ftkit.linting.seen import Seen
from ftkit.linting.setting import Setting
from ftkit.linting.words import excerpt

__all__ = ["HARMLESS", "InvisibleCharacters", "ModerationRisk", "PersonalData", "PromptInjection", "Secret"]

# Every secret that the detectors know has a run of sixteen such characters, or one of these words.
_MAYBE_SECRET = re.compile(r"[A-Za-z0-9+/_=.:-]{16}|PRIVATE KEY|://")
_NOT_SECRETS = ("Public IP (ipv4)",)


@cache
def _detectors() -> tuple[Any, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    classes = get_mapping_from_secret_type_to_class().items()
    return tuple(
        each() for kind, each in sorted(classes) if issubclass(each, RegexBasedDetector) and kind not in _NOT_SECRETS
    )


class Secret(RowRule):
    """A text holds what looks like a key, a token, a password in a URL, or a private key. A tuned model may say it to
    anyone; a host stores the file.

    Found by the patterns of detect-secrets (AWS, Azure, GitHub, GitLab, OpenAI, Slack, Stripe, JWT, private keys, …).
    Revoke the secret, then put a placeholder in its place. The excerpt hides the middle of it.
    """

    code = "S001"
    name = "secret"
    summary = "A text holds what looks like a secret."

    def wants(self, setting: Setting) -> str | None:
        return not_installed("detect_secrets")

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for where, text in seen.texts():
            if not _MAYBE_SECRET.search(text):
                continue
            for detector in _detectors():
                for secret in detector.analyze_string(text):
                    if secret:
                        yield Found(f"looks like a secret: {detector.secret_type}", where, _hidden(text, secret))
                        break


def _hidden(text: str, secret: str) -> str:
    at = text.find(secret)
    masked = text.replace(secret, f"{secret[:4]}…{secret[-2:]}" if len(secret) >= 16 else "…")
    return excerpt(masked, max(at, 0))


_PERSONAL = (
    ("an e-mail address", re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*[A-Za-z]\b")),
    ("a US social security number", re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b")),
    ("an IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("a card number", re.compile(r"\b(?:\d[ -]?){13,19}\b")),
    ("a phone number", re.compile(
        r"(?<![\w.-])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"
        r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-])"
    )),
)  # fmt: skip
_MAYBE_PERSONAL = re.compile(r"@|\d{3}-|\d{4}[ -]?\d{3}|[A-Z]{2}\d{2}|\+\d|\) ?\d|\d{3}\.\d{3}")


class PersonalData(RowRule):
    """A text holds an e-mail address, a phone number, a card number (with a valid check digit), an IBAN (likewise) or
    a US social security number. Models repeat what they have seen, and laws ask for a reason to keep it.

    A hint, not a verdict: names and addresses are not looked for, and examples such as ``@example.com`` are left out.
    """

    code = "S002"
    name = "personal-data"
    summary = "A text holds personal data."
    severity = "info"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for where, text in seen.texts():
            if not _MAYBE_PERSONAL.search(text):
                continue
            for what, pattern in _PERSONAL:
                for match in pattern.finditer(text):
                    if _is_personal(what, match[0]):
                        yield Found(f"holds {what}", where, excerpt(text, match.start(), match.end()))
                        break


def _is_personal(what: str, text: str) -> bool:
    if what == "a card number":
        digits = [int(character) for character in text if character.isdigit()]
        doubled = [digit if at % 2 == 0 else sum(divmod(digit * 2, 10)) for at, digit in enumerate(reversed(digits))]
        return len(set(digits)) > 1 and sum(doubled) % 10 == 0
    if what == "an IBAN":
        plain = text.replace(" ", "")
        return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
    return not re.search(r"@(?:[\w-]+\.)*(?:example|test|invalid)\b|@.*\.(?:example|test|invalid)$", text)


_INJECTION = re.compile(
    r"(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|the\s+|your\s+|these\s+)*(?:of\s+)?(?:previous|prior|above|earlier|preceding)"
    r"\s+(?:instructions?|prompts?|rules|messages?|context)"
    r"|(?:reveal|print|show|repeat)\s+(?:me\s+)?(?:your|the)\s+(?:system|hidden|secret)\s+(?:prompt|instructions?)"
    r"|you\s+are\s+now\s+(?:dan|in\s+developer\s+mode|unrestricted|jailbroken)|\bdo\s+anything\s+now\b"
    r"|<\|(?:im_start|im_end|system|endoftext|eot_id|begin_of_text)\|>|\[/?INST\]|<</?SYS>>",
    re.IGNORECASE,
)
_MAYBE_INJECTION = re.compile(
    r"ignore|disregard|forget|reveal|prompt|instructions|you are now|anything now|<\||\[/?INST|<<", re.I
)


class PromptInjection(RowRule):
    """A text tries to overrule instructions ("ignore all previous instructions"), or holds a chat template's control
    tokens as text (``<|im_start|>``). Learned as a question with an obedient answer, it teaches obedience; control
    tokens inside a text break the turns apart.

    Keep such rows only where the answer is the refusal that you want.
    """

    code = "S003"
    name = "prompt-injection"
    summary = "A text tries to overrule instructions, or holds control tokens."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for where, text in seen.texts():
            if not _MAYBE_INJECTION.search(text):
                continue
            match = _INJECTION.search(text)
            if match is not None:
                what = "holds a control token" if match[0][:1] in "<[" else "tries to overrule instructions"
                yield Found(what, where, excerpt(text, match.start(), match.end()))


_RISKS = (
    ("self-harm", r"kill (?:myself|yourself)|commit suicide|suicide methods?|cut myself|end my life|self-harm"),
    ("violence", r"how to (?:make|build) a (?:pipe )?bomb|mass shooting|behead(?:ing|ed)?|torture (?:him|her|them)"),
    ("sexual content", r"porn(?:ography)?|explicit sex|child porn|nude (?:photo|picture)s? of"),
    ("hate", r"ethnic cleansing|white power|gas the|subhuman"),
    ("illicit", r"cook meth|credit card dump|ransomware payload|counterfeit money"),
)
_RISK = re.compile(r"\b(?:" + "|".join(f"(?P<r{at}>{words})" for at, (_, words) in enumerate(_RISKS)) + r")\b", re.I)


class ModerationRisk(RowRule):
    """A text holds words for which hosts' moderation refuses training files (OpenAI checks every file: a file with too
    many flagged rows is refused as a whole, https://platform.openai.com/docs/guides/fine-tuning-best-practices).

    A small list of plain phrases, so that a refusal does not come as a surprise; it is no moderation model, and in
    medicine, law or news such words are rightly there.
    """

    code = "S004"
    name = "moderation-risk"
    summary = "A text holds words for which hosts refuse files."
    severity = "info"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for where, text in seen.texts():
            match = _RISK.search(text)
            if match is not None:
                kind = next(_RISKS[int(name[1:])][0] for name, value in match.groupdict().items() if value)
                yield Found(
                    f"words that moderation may refuse ({kind})", where, excerpt(text, match.start(), match.end())
                )


HARMLESS = "\u200b\u2060\ufeff\u00ad"
"""Characters that show nothing and mean nothing in any script: zero-width space, word joiner, byte-order mark, soft
hyphen. Joiners (U+200C, U+200D) are not among them: Persian, Hindi and emoji need them."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffd"
    "\U000e0000-\U000e007f]"
)


class InvisibleCharacters(RowRule):
    """A text holds control characters, zero-width or direction characters, tag characters, or the replacement character
    that a wrong decoding leaves. Nobody sees them, the tokenizer does: "Anna" with a zero-width space is another name,
    and hidden tags are a way to smuggle instructions.

    Line feeds and tabs are fine, and so are the joiners that scripts and emoji need. ``--fix`` takes from answers those
    that mean nothing in any script (U+200B, U+2060, U+FEFF, U+00AD).
    """

    code = "S005"
    name = "invisible-characters"
    summary = "A text holds control or invisible characters."
    fixable = True

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for where, text in seen.texts():
            match = None if text.isascii() and text.isprintable() else _INVISIBLE.search(text)
            if match is not None:
                yield Found(f"holds the invisible character U+{ord(match[0]):04X}", where, excerpt(text, match.start()))
