"""What probes found, in sentences."""

from __future__ import annotations

from ftkit.counts import counted
from ftkit.results.number_format import count_text, interval_text, seconds_text, value_text
from ftkit.results.report import Report
from ftkit.results.report_notes import unclear_notes

__all__ = ["probe_lines"]


def probe_lines(report: Report) -> list[str]:
    """Say what the probes found beside the task, or that there were none.

    Args:
        report: The report.

    Returns:
        A sentence for each finding.
    """
    probes = report.probes
    if probes is None:
        return ["Not probed for forgetting or overfitting"]
    overfitting = () if probes.overfitting is None else probes.overfitting.lines
    last = [*overfitting, *(f"Not probed: {reason}" for reason in probes.left_out)]
    if probes.wall_s is not None:
        longer = probes.wall_s > report.timing.wall_s
        advice = f", the rows {seconds_text(report.timing.wall_s)}; probes=None (--no-probes) leaves probes out"
        last.append(f"Probes took {seconds_text(probes.wall_s)}{advice if longer else ''}")
    if report.forgetting is not None:
        return [*report.forgetting.lines, *last]
    lines = []
    for name, part in (("General set", probes.general), ("Retention set", probes.retention)):
        if part is not None:
            metric = part.headline
            interval = interval_text(metric.low, metric.high, metric.unit)
            value = value_text(metric.value, metric.unit)
            lines.append(f"{name}: {metric.name} {value} ({interval}) of {count_text(metric.n)}")
    if probes.general is not None:
        lines += unclear_notes(probes.general.unclear)
        lines += [
            f"{metric.description[:1].upper()}{metric.description[1:]}: {value_text(metric.value, metric.unit)} of "
            f"{count_text(metric.n)}"
            for metric in probes.general.metrics
            if metric.name in ("harmful_refused", "harmless_refused", "task_format") and metric.n
        ]
    lines += [] if probes.thinking is None else [f"Thinking mode: {probes.thinking}"]
    if probes.choices is not None:
        lines.append(
            f"Multiple choice by likelihood: right end most probable in {value_text(probes.choices.accuracy, 'rate')} "
            f"of {counted(len(probes.choices.ids), 'sentence')}"
        )
    if probes.text is not None:
        lines.append(f"Plain prose: perplexity {probes.text.perplexity:.4g}")
    if probes.drift is not None:
        lines.append(f"Drift from {probes.drift.base}: KL {probes.drift.mean_kl:.3g} nats per token")
    return [*lines, *last]
