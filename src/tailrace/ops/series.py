"""Series with labels of their own: what each is read from. Every value of a label is there from the start: a series
that appears with its first incident has no increase to alert on.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.model import DuplicateCause, Framing, MemberKind, Reason
from tailrace.ops.metric import Samples, labels_of
from tailrace.ops.seen import Stats
from tailrace.ops.status import Moment


def duplicates(moment: Moment) -> Samples:
    for source in moment.sources:
        causes = source.stats.done.causes
        yield from (((*labels_of(source), cause.value), causes[cause]) for cause in DuplicateCause)


def newest(value: Callable[[Stats], float]) -> Callable[[Moment], Samples]:
    """Of the newest entry: nothing until there is one."""

    def read(moment: Moment) -> Samples:
        return [(labels_of(each), value(each.stats)) for each in moment.sources if each.stats.newest_entry is not None]

    return read


def files(moment: Moment) -> Samples:
    for source in moment.sources:
        stats = source.stats
        yield (*labels_of(source), "waiting"), stats.files_waiting
        yield (*labels_of(source), "following"), stats.files_following
        yield (*labels_of(source), "sealed"), stats.files_sealed
        yield (*labels_of(source), "unreadable"), stats.files_unreadable


def blocks(moment: Moment) -> Samples:
    for source in moment.sources:
        framing = next((each for each in Framing if each and source.stats.stream.endswith(each)), None)
        if framing is not None:
            yield (*labels_of(source), framing.value.strip("_")), source.stats.missing_blocks


def members(moment: Moment) -> Samples:
    kinds = [member.kind for member in moment.members]
    return [((kind.value,), kinds.count(kind)) for kind in MemberKind]


def rejects(moment: Moment) -> Samples:
    """All reasons, from the start: a series that appears with its first reject has no increase to alert on."""
    for source in moment.sources:
        for reason in Reason:
            yield (*labels_of(source), reason.value), source.stats.done.rejects.get(reason, 0)
