"""Certificates of migrations as text, Markdown and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.counts import counted, verb
from ftkit.render.table import Column, Line, Table, escape_markdown, to_rich, to_text
from ftkit.render.templates import render_page
from ftkit.results.certificate import Candidate, Certificate
from ftkit.results.number_format import (
    NONE,
    change_text,
    interval_text,
    margin_text,
    percent_text,
    seconds_text,
    usd_text,
    value_text,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["certificate_markdown", "certificate_page", "certificate_rich", "certificate_text"]

_STYLES = {"CERTIFIED": "bold green", "NOT CERTIFIED": "bold yellow", "FAILED": "bold red"}


def certificate_text(certificate: Certificate) -> str:
    """Write a certificate as plain text.

    Args:
        certificate: The certificate.

    Returns:
        The text.
    """
    return to_text(_blocks(certificate))


def certificate_rich(certificate: Certificate) -> RenderableType:
    """Build a certificate for a rich console.

    Args:
        certificate: The certificate.

    Returns:
        What a rich console prints.
    """
    return to_rich(_blocks(certificate))


def certificate_markdown(certificate: Certificate) -> str:
    """Write a certificate as Markdown.

    Args:
        certificate: The certificate.

    Returns:
        The Markdown.
    """
    parts = [
        escape_markdown(block.text()) if isinstance(block, Line) else f"\n{block.markdown()}\n"
        for block in _blocks(certificate)
    ]
    return "\n\n".join([f"## Replacing {escape_markdown(certificate.replaced.name)}", *filter(None, parts)]) + "\n"


def certificate_page(certificate: Certificate) -> str:
    """Render a certificate as a page.

    Args:
        certificate: The certificate.

    Returns:
        HTML.
    """
    return render_page(
        "certificate",
        f"Replacing {certificate.replaced.name}",
        certificate=certificate,
        headline=_headline(certificate),
        design=_design(certificate),
        table_=_table(certificate),
        checklist=Table(["by", "step"], [[str(item.by or NONE), item.text] for item in certificate.checklist]),
        files=Table(
            ["file", "what", "digest"], [[record.path, record.what, record.digest] for record in certificate.files]
        ),
        digests=Table(["", ""], [[name, value] for name, value in _digests(certificate)], header=False),
    )


def _blocks(certificate: Certificate) -> list[Line | Table]:
    blocks: list[Line | Table] = [Line.of(_headline(certificate), "bold")]
    blocks += [Line.of(line) for line in _design(certificate)]
    blocks += [Line.of(""), _table(certificate), Line.of("")]
    for candidate in certificate.candidates:
        blocks.append(Line.of(f"{candidate.status} {candidate.name}: {_reason(candidate)}", _STYLES[candidate.status]))
    blocks.append(Line.of(""))
    blocks += [Line.of(f"{item.by or '          '}  {item.text}") for item in certificate.checklist]
    notes = [*certificate.notes, *(f"{one.name}: {note}" for one in certificate.candidates for note in one.notes)]
    return [*blocks, *([Line.of("")] if notes else []), *(Line.of(f"Note: {note}.", "yellow") for note in notes)]


def _headline(certificate: Certificate) -> str:
    passing = certificate.certified
    if not passing:
        return f"No candidate is certified to replace {certificate.replaced.name}."
    others = f", and {len(passing) - 1} more" if len(passing) > 1 else ""
    return f"{passing[0].name} may replace {certificate.replaced.name}{others}."


def _design(certificate: Certificate) -> list[str]:
    replaced, power = certificate.replaced, certificate.power
    limit = margin_text(certificate.margin, certificate.unit)
    stops = "" if replaced.stops is None else f" It stops answering on {replaced.stops} ({replaced.stops_source})."
    enough = (
        "no number of rows gives 80 %"
        if power.rows_for_80 is None
        else f"{counted(power.rows_for_80, 'row')} {verb(power.rows_for_80, 'gives', 'give')} 80 %"
    )
    return [
        f"{certificate.primary} on {certificate.test_rows:,} test rows ({certificate.test_origin}).{stops}",
        f"A candidate is certified if any loss is smaller than {limit} at {percent_text(certificate.confidence)} "
        f"confidence. The margin was set at {certificate.margins[-1].set_at}"
        + "".join(f"; before, it was {one.value:g} since {one.set_at}" for one in certificate.margins[:-1])
        + ".",
        f"Power: these rows certify {power.assumption}, with a probability of "
        f"{percent_text(round(power.power, 2))}; {enough}.",
    ]


def _table(certificate: Certificate) -> Table:
    unit, replaced = certificate.unit, certificate.replaced
    rows: list[Sequence[str]] = [
        [
            replaced.name,
            "replaced",
            value_text(replaced.value, unit),
            interval_text(replaced.low, replaced.high, unit),
            NONE,
            usd_text(replaced.per_1000_usd),
            NONE,
            NONE,
        ]
    ]
    for one in certificate.candidates:
        change = NONE
        if one.difference is not None:
            change = (
                f"{change_text(one.difference, unit)} "
                f"({change_text(one.difference_low, unit)} to {change_text(one.difference_high, unit)})"
            )
        rows.append(
            [
                one.name,
                one.status.lower(),
                value_text(one.value, unit),
                interval_text(one.low, one.high, unit),
                change,
                usd_text(one.per_1000_usd),
                usd_text(one.training_usd),
                seconds_text(one.latency_p50_s),
            ]
        )
    interval = f"{percent_text(certificate.confidence)} interval"
    titles = [certificate.primary, interval, "change", "$ per 1,000", "$ training", "latency p50"]
    return Table([Column("model", wrap=True), "status", *titles], rows)


def _reason(candidate: Candidate) -> str:
    if candidate.problem is not None:
        return f"{candidate.problem}. Run the same again to try it again"
    return candidate.sentence


def _digests(certificate: Certificate) -> list[tuple[str, str]]:
    found = [
        ("this certificate", certificate.digest),
        ("training rows", certificate.training_fingerprint),
        ("test rows", certificate.test_fingerprint),
        ("task", certificate.task_fingerprint),
        (f"answers of {certificate.replaced.name}", certificate.replaced.report),
    ]
    for one in certificate.candidates:
        if one.report is not None:
            found.append((f"answers of {one.name}", one.report))
        found += [(f"{one.name}: {name}", digest) for name, digest in one.artefacts.items()]
    return found
