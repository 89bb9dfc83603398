"""A metric's statistics by row and by cluster, and which rows form a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftkit.evaluation.metrics import Metric, RatioMetric, RowMetric, identity
from ftkit.evaluation.statistics import cluster_sums
from ftkit.results.report_row import RowResult, folded_prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MetricStatistics", "cluster_ids", "metric_statistics"]


@dataclass(frozen=True)
class MetricStatistics:
    """A metric's statistics over all rows."""

    metric: Metric
    by_row: NDArray[np.float64]
    """Shape ``[rows, k]``."""
    by_cluster: NDArray[np.float64]
    """Summed over the rows of each cluster, shape ``[clusters, k]``."""

    @property
    def value(self) -> float | None:
        """The metric over all rows; None if it is not defined."""
        number = float(self.metric.compute(self.by_cluster.sum(axis=0)))
        return None if number != number else number

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which rows are in the metric's denominator, shape ``[rows]``."""
        denominator = self.by_row[:, -1] if self.is_ratio else self.by_row.any(axis=1)
        return denominator.astype(bool)

    @property
    def is_ratio(self) -> bool:
        """Whether the metric has a numerator and a denominator for each row."""
        return isinstance(self.metric, RatioMetric)

    @property
    def transformed(self) -> bool:
        """Whether the metric is a function of its ratio, and not the ratio itself."""
        return any(ratio.transform is not identity for ratio in self.metric.ratios(self.by_cluster.sum(axis=0)))

    @property
    def is_binary(self) -> bool:
        """Whether each counted row scores 0 or 1, so that the metric is a proportion of rows."""
        return self.is_ratio and self.metric.unit == "rate" and bool(((self.by_row == 0) | (self.by_row == 1)).all())

    def leave_one_out(self) -> NDArray[np.float64]:
        """Compute the metric without each cluster in turn (the jackknife).

        Returns:
            Shape ``[clusters]``.
        """
        return self.metric.compute(self.by_cluster.sum(axis=0) - self.by_cluster)


def cluster_ids(*reports: Sequence[RowResult]) -> NDArray[np.int64]:
    """Assign each row to a cluster of dependent rows.

    Rows of one group share a cluster, and so do rows with the same id or the same prompt, apart from case and spaces: a
    repeated row is no further evidence. A group that only one report names counts for both.

    Args:
        reports: the same rows, in the same order, in one or more reports.

    Returns:
        Cluster ids from 0, shape ``[rows]``.
    """
    import numpy as np

    clusters: dict[object, int] = {}
    parents: list[int] = []

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    firsts = []
    for rows in zip(*reports, strict=True):
        keys = [("prompt", folded_prompt(rows[0])), ("id", rows[0].id)]
        keys += [("group", row.group) for row in rows if row.group is not None]
        nodes = []
        for key in keys:
            if key not in clusters:
                clusters[key] = len(parents)
                parents.append(len(parents))
            nodes.append(root(clusters[key]))
        for node in nodes[1:]:
            parents[root(node)] = root(nodes[0])
        firsts.append(nodes[0])
    ids: dict[int, int] = {}
    return np.array([ids.setdefault(root(node), len(ids)) for node in firsts], dtype=np.int64)


def metric_statistics(metric: Metric, rows: Sequence[RowResult], clusters: NDArray[np.int64]) -> MetricStatistics:
    """Collect a metric's statistics over rows.

    Args:
        metric: the metric.
        rows: scored rows. Several answers to one row are averaged first, so that each row weighs the same.
        clusters: cluster ids, shape ``[rows]``.

    Returns:
        The statistics by row and by cluster.
    """
    import numpy as np

    if isinstance(metric, RowMetric):
        each = [metric.statistics(row) for row in rows]
    else:
        each = [tuple(np.mean([metric.statistics(answer) for answer in row.answers], axis=0)) for row in rows]
    by_row = np.array(each, dtype=np.float64)
    return MetricStatistics(metric, by_row, cluster_sums(by_row, clusters))
