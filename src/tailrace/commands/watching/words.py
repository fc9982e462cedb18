"""What the figures of `/status` mean, in sentences: the same words at every width, with and without colour. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tailrace.commands.watching.fields import (
    UNKNOWN,
    Fields,
    bytes_words,
    count_words,
    hour_words,
    milliseconds_words,
    number_of,
    seconds_words,
)
from tailrace.words import duration_words

_CLOSE = 5.0
"""Seconds behind that are no news while a node writes."""

_SAID = {"mongodb_trouble", "mongodb_refuses"}  # obstacles whose sentence is in the verdict already
_STREAMING = "_streaming"  # the end of a stream's name
_HOURS_NAMED = 6
_HOURS_TOLD = 100  # of those that are missing, by an instance
_MEMBERS_THAT_WRITE = ("primary", "standalone", "mongos")


class Verdict(NamedTuple):
    """`style` is rich's; the sentence says it without."""

    sentence: str
    style: str


def verdict(status: Fields) -> Verdict:
    """The one sentence that an operator wants first. What is worst is said; the rest stands below it."""
    server, sources = status.at("server"), status.all("sources")
    wrong = sum(abs(source.amount("unaccounted")) for source in sources)
    if wrong:
        return Verdict(
            f"the account does not balance by {count_words(wrong)}: this is a defect of tailrace; run `tailrace "
            "verify`, and report it",
            "bold red",
        )
    codes = [each.text("code") for each in status.all("why")]
    if "loop_hangs" in codes:
        return Verdict(
            "it hangs: nothing is read or stored meanwhile; nothing is lost, a restart continues", "bold red"
        )
    if server.flag("ok") is False:
        return Verdict(_trouble(server), "bold red")
    if "starting" in codes:
        return Verdict("starting: nothing is read yet", "bold yellow")
    if "waiting_for_root" in codes:
        return Verdict("waiting for the node's files", "bold yellow")
    return _progress(sources, ready=status.flag("ready"))


def _progress(sources: list[Fields], *, ready: bool | None) -> Verdict:
    lags = [source.at("lag") for source in sources]
    behind = sum(lag.amount("bytes") for lag in lags)
    seconds = max((lag.amount("seconds") for lag in lags), default=0.0)
    if any(lag.number("bytes") is None for lag in lags):
        return Verdict("running; how far behind is not known", "bold")
    partly = " of what can be read" if ready is False else ""
    if not sources:
        return Verdict("no source is followed: nothing is stored until a reload adds one", "bold red")
    silent = [source for source in sources if source.text("quiet")]
    if behind == 0 and silent and len(silent) == len(sources):
        return Verdict("everything written so far is stored, and the node writes nothing new", "bold yellow")
    if behind == 0:
        return Verdict(f"live: everything written so far{partly} is stored", "bold yellow" if partly else "bold green")
    far = f"{bytes_words(behind)}, {duration_words(seconds)} behind"
    if all(source.flag("live") for source in sources) and seconds < _CLOSE:
        return Verdict(f"live: {far}", "bold yellow" if partly else "bold green")
    return Verdict(f"catching up: {far}; nothing is lost", "bold yellow")


def _trouble(server: Fields) -> str:
    lasting, sentence = seconds_words(server.number("trouble_s")), server.text("sentence").rstrip(".;")
    why = f": {sentence}" if sentence else ""
    if server.text("verdict") == "operator":
        return f"MongoDB refuses us for {lasting}{why}; only an operator can mend it; reading stops, nothing is lost"
    return f"MongoDB in trouble for {lasting}{why}; reading stops, nothing is lost"


def pace(source: Fields) -> str:
    """A source in a word. `live` of /status says that it was: one that has fallen behind since is not called so."""
    live = source.flag("live")
    if live is None:
        return UNKNOWN
    if live:
        return "live" if source.at("lag").amount("seconds") < _CLOSE else "behind"
    return "catching up"


def obstacles(status: Fields) -> Iterator[str]:
    """Why it is not ready, as far as the verdict has not said it."""
    why = status.all("why")
    for each in why:
        if each.text("code") not in _SAID or status.at("server").flag("ok") is not False:
            yield each.text("sentence") or each.text("code")
    if status.flag("ready") is False and not why:
        yield "it does not say why"


def losses(source: Fields) -> Iterator[str]:
    """What of a source an operator must know about, beyond its figures."""
    if source.text("quiet"):
        yield source.text("quiet")
    bytes_lost = source.at("bytes").amount("lost")
    if bytes_lost:
        yield f"{bytes_words(bytes_lost)} were cut or deleted before they were read: they are not stored"
    unreadable = max(source.at("files").amount("unreadable"), source.at("files").amount("locked"))
    if unreadable:
        what = "it" if unreadable == 1 else "them"
        yield f"{number_of(unreadable, 'file')} cannot be read: nothing of {what} is stored yet"


def reading(status: Fields) -> str:
    """Whether writes can be taken at all, of the topology: empty when a member does, or nothing is known."""
    members = status.at("server").all("members")
    if not members or any(member.text("kind") in _MEMBERS_THAT_WRITE for member in members):
        return ""
    return "no member takes writes: what is read waits"


# -- figures of one source, of one member ----------------------------------------------------------------------------


def balance_words(source: Fields) -> str:
    """What was read against what became of it, and the difference that must be 0."""
    lines, wrong = source.at("lines"), source.number("unaccounted")
    return (
        f"{number_of(lines.number('read'), 'line')} read = {counted(lines, 'settled')} settled + "
        f"{counted(lines, 'in_flight')} in flight, difference {count_words(wrong)}{' MUST BE 0' if wrong else ''}"
    )


def writes_words(source: Fields) -> str:
    writes = source.at("writes")
    commands, documents = writes.amount("count"), writes.amount("documents")
    each = f" of {number_of(round(documents / commands), 'document')}" if commands else ""
    return (
        f"p50 {milliseconds_words(writes.number('p50_ms'))}, p99 {milliseconds_words(writes.number('p99_ms'))} in the "
        f"last minute; {number_of(writes.number('count'), 'command')}{each}"
    )


def checkpoint_words(checkpoint: Fields) -> str:
    behind = checkpoint.number("lag_bytes")
    if behind is None:
        return UNKNOWN
    age = checkpoint.number("age_s")
    if not behind and not age:
        return "all is saved"
    before = f"{bytes_words(behind)} before the ends of the files"
    return (
        f"{before}; what is settled since waits for {seconds_words(age)}" if age else f"{before}; all settled is saved"
    )


def files_words(files: Fields) -> str:
    states = [
        f"{count_words(files.number(name))} {name}"
        for name in ("following", "waiting", "sealed", "unreadable", "rewritten")
        if files.amount(name) or (name == "following" and files.number(name) is not None)
    ]
    return ", ".join(states) or f"{counted(files, 'open')} open, {counted(files, 'backlog')} waiting"


def missing_words(source: Fields) -> str:
    hours, blocks = source.numbers("missing_hours"), source.number("missing_blocks")
    if not hours and not blocks:
        return UNKNOWN if blocks is None else "no hour, no block"
    named = ", ".join(hour_words(hour) for hour in hours[:_HOURS_NAMED])
    more = ", ..." if len(hours) > _HOURS_NAMED else ""
    least = " or more" if len(hours) >= _HOURS_TOLD else ""
    said = f"{number_of(len(hours), 'hour')}{least} ({named}{more})" if hours else "no hour"
    if blocks and source.text("stream").endswith(_STREAMING):
        return f"{said}; {number_of(blocks, 'block')} without a line, as this stream leaves out those without events"
    return f"{said}, {number_of(blocks, 'block') if blocks else 'no block'}"


def member_words(member: Fields) -> str:
    rtt = member.number("rtt_ms")
    error = f": {member.text('error')}" if member.text("error") else ""
    kind = member.text("kind") or "unknown"
    return (
        f"{member.text('address') or UNKNOWN} {kind}{f', {milliseconds_words(rtt)}' if rtt is not None else ''}{error}"
    )


def counted(fields: Fields, name: str) -> str:
    return count_words(fields.number(name))


def hour_of(path: str) -> str:
    """`20250310/21`: the day and the hour of an hour file's path."""
    return "/".join(path.split("/")[-2:]) or UNKNOWN
