"""S: what should not be learned or sent to a host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ftkit.linting.context import Setting
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, not_installed
from ftkit.linting.text_normalization import excerpt

__all__ = ["HARMLESS", "InvisibleCharacters", "ModerationRisk", "PersonalData", "PromptInjection", "Secret", "hidden"]

_MAYBE_SECRET = 16
"""Characters without a blank that every secret has; else it has a scheme or says that it is a private key."""
_LONG = re.compile(r"[A-Za-z0-9+/_=.:@-]{16,}")
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
    Revoke the secret, then put a placeholder in its place. Excerpts of the row hide all of it
    but its first letters.
    """

    code = "S001"
    name = "secret"
    summary = "A text holds what looks like a secret."

    def wants(self, setting: Setting) -> str | None:
        return not_installed("detect_secrets")

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        every = seen.all_text
        longest = max(map(len, every.split()), default=0)
        if longest < _MAYBE_SECRET and "://" not in every and "PRIVATE KEY" not in every:
            return
        for where, text in seen.texts():
            for detector in _detectors():
                for secret in detector.analyze_string(text):
                    if secret:
                        shown = excerpt(text, max(0, text.find(secret)))
                        yield Found(f"looks like a secret: {detector.secret_type}", where, shown)
                        break


def hidden(text: str) -> str:
    """``text`` with the middle of everything left out that is long enough to be a secret."""
    return _LONG.sub(lambda run: f"{run[0][:4]}…", text)


_PERSONAL = (
    ("an e-mail address", re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*[A-Za-z]\b")),
    ("a US social security number", re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}\b")),
    ("an IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("a card number", re.compile(r"(?<!\d)(?=((?:\d{4}[ -]){3}\d{1,7}|\d{13,19})(?!\d))")),
    ("a phone number", re.compile(
        r"(?<![\w.-])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"
        r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-])"
    )),
)  # fmt: skip
_FIVE_DIGITS = re.compile(r"\d[ ().-]*\d[ ().-]*\d[ ().-]*\d[ ().-]*\d")


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
        if "@" not in seen.all_text and not _FIVE_DIGITS.search(seen.all_text):
            return
        for where, text in seen.texts():
            for what, pattern in _PERSONAL:
                for match in pattern.finditer(text):
                    said = match[0] or match[1]  # a look-ahead, so that digits before a card number hide none of it
                    if _is_personal(what, said):
                        shown = excerpt(text, match.start(), match.start() + len(said))
                        yield Found(f"holds {what}", where, shown)
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
_MAYBE_INJECTION = (
    *("previous", "prior", "above", "earlier", "preceding", "prompt", "instructions", "you are now", "anything now"),
    *("<|", "inst]", "sys>>"),
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
        lowered = seen.all_text_lowered
        if not any(word in lowered for word in _MAYBE_INJECTION):
            return
        for where, text in seen.texts():
            match = _INJECTION.search(text)
            if match is not None:
                what = "holds a control token" if match[0][:1] in "<[" else "tries to overrule instructions"
                yield Found(what, where, excerpt(text, match.start(), match.end()))


_RISKS = {
    "self-harm": (
        *("kill myself", "kill yourself", "commit suicide", "suicide method", "cut myself", "end my life", "self-harm"),
    ),
    "violence": ("make a bomb", "build a bomb", "pipe bomb", "mass shooting", "beheading", "beheaded"),
    "sexual content": ("porn", "explicit sex", "nude photo", "nude picture"),
    "hate": ("ethnic cleansing", "white power", "subhuman"),
    "illicit": ("cook meth", "credit card dump", "ransomware payload", "counterfeit money"),
}
_RISKY = {phrase: kind for kind, phrases in _RISKS.items() for phrase in phrases}


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
        lowered = seen.all_text_lowered
        found = [phrase for phrase in _RISKY if phrase in lowered]
        for where, text in seen.texts() if found else ():
            for phrase in found:
                at = text.lower().find(phrase)
                if at >= 0:
                    shown = excerpt(text, at, at + len(phrase))
                    yield Found(f"words that moderation may refuse ({_RISKY[phrase]})", where, shown)
                    break


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
        if not _INVISIBLE.search(seen.all_text):
            return
        last = f"messages[{len(seen.messages) - 1}].content"
        for where, text in seen.texts():
            match = _INVISIBLE.search(text)
            if match is not None:
                shown = excerpt(text, match.start())
                mendable = where == last and match[0] in HARMLESS
                yield Found(f"holds the invisible character U+{ord(match[0]):04X}", where, shown, fixable=mendable)
