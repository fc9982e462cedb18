"""`load`: what file, environment and flags say -> frozen Settings, or every problem at once.

A problem is one sentence: the key, its value (never a secret), where it was set, what is allowed. Looks at the disk
only to read the file, to tell the stream from `root`, and to read `mongodb_uri_file`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tailrace.config import checks, credentials
from tailrace.config.merge import NO_DIRECTORY, Layer, Merged, Value, merge
from tailrace.config.native import why_no_native_codec
from tailrace.config.paths import absolute, contradicts, default_state_dir, stream_below
from tailrace.config.rules import FilePath, is_huge
from tailrace.config.settings import KEYS, CodecChoice, Settings
from tailrace.config.sources import SourceSettings, family_of
from tailrace.errors import SettingsError, one_line

FOR_INGESTING = frozenset(("root", "mongodb_uri"))
"""What a command that puts files into a server requires."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """`where` says for every key where its value comes from; `warnings` are sentences, nothing is wrong yet.

    A key of one source among several is named `[[sources]] 2, root`, counted from 1 as in the file.
    """

    settings: Settings
    where: Mapping[str, str]
    warnings: list[str]


@dataclass(slots=True)
class _Report:
    environ: Mapping[str, str]
    require: frozenset[str]
    problems: list[str]
    warnings: list[str] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)


def load(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    config_path: str | None,
    *,
    require: frozenset[str] = FOR_INGESTING,
    why_not_native: Callable[[], str | None] = why_no_native_codec,
) -> Loaded:
    """`flags`: only those given, by the setting's name, as text (`{"max_workers": "8", "clustered": "false"}`).

    `require`: which of root, collection and mongodb_uri must be set; where neither of the first two is required and
    nothing tells a collection, `sources` is empty. Raises SettingsError with all problems.
    """
    merged = merge(flags, environ, config_path)
    report = _Report(environ, require, merged.problems)
    settings = _process_wide(merged, report, why_not_native)
    sources = [_source(merged, n, report) for n in range(len(merged.sources))]
    found = [(n, source) for n, source in enumerate(sources) if source is not None]
    report.problems += checks.between_sources({_place(merged, n) or "the source": source for n, source in found})
    if report.problems or settings is None:
        raise SettingsError(list(dict.fromkeys(report.problems)))
    settings = settings.model_copy(update={"sources": tuple(source for _, source in found)})
    return Loaded(settings, report.where, [one_line(warning) for warning in report.warnings])


def effective(loaded: Loaded) -> list[tuple[str, str, str]]:
    """(key, value as a file would write it, where it comes from) of every setting, without secrets, for showing."""
    rows = []
    sources = loaded.settings.sources
    for n, source in enumerate(sources):
        place = f"[[sources]] {n + 1}, " if len(sources) > 1 else ""
        rows += [(place + name, _shown_setting(source, name)) for name in SourceSettings.model_fields]
    rows += [(name, _shown_setting(loaded.settings, name)) for name in KEYS if not KEYS[name].per_source]
    return [(key, shown, loaded.where.get(key, "default")) for key, shown in rows]


def _shown_setting(model: BaseModel, name: str) -> str:
    value = getattr(model, name)
    return "(not set)" if value is None and name != "http" else KEYS[name].rule.show(value)


def _process_wide(merged: Merged, report: _Report, why_not_native: Callable[[], str | None]) -> Settings | None:
    layer = _with_absolute_paths(merged.top, report)
    if "state_dir" not in layer:
        default = default_state_dir(report.environ)
        if default is None:
            report.problems.append(
                "state_dir is not set, and none of STATE_DIRECTORY, XDG_STATE_HOME and HOME tells a place: "
                "set --state-dir or TAILRACE_STATE_DIR."
            )
        else:
            layer["state_dir"] = Value(default[0], default[1], merged.base)
    uri = credentials.connection_string(layer, merged.file, report.problems, report.warnings, report.environ)
    if uri is not None:
        layer["mongodb_uri"] = uri
    elif "mongodb_uri" in report.require and not layer.keys() & {"mongodb_uri", "mongodb_uri_file"}:
        report.problems.append(
            "mongodb_uri is not set: set TAILRACE_MONGODB_URI (or mongodb_uri in the file, or mongodb_uri_file) to the "
            "server's connection string, or to embedded for a private mongod."
        )
    settings = _validate(Settings, layer, "", report)
    if settings is not None:
        why_not = why_not_native() if settings.codec is CodecChoice.NATIVE else None
        if why_not is not None:
            reason = f"cannot be had: {why_not}; make install builds it where cargo is, or use auto or python"
            report.problems.append(_sentence("codec", layer["codec"], reason))
        report.warnings += checks.of_write_concern(settings, layer)
    return settings


def _place(merged: Merged, n: int) -> str:
    """How the source is called in keys and sentences: empty for the only one."""
    return f"[[sources]] {n + 1}" if merged.tables > 1 else ""


def _source(merged: Merged, n: int, report: _Report) -> SourceSettings | None:
    """None when it has problems (reported), or for a top level that tells nothing where nothing is required."""
    place = _place(merged, n)
    prefix = f"{place}, " if place else ""
    layer = _with_absolute_paths(merged.sources[n], report)
    if "root" in report.require and "root" not in layer:
        report.problems.append(
            f"{prefix}root is not set: set it there, or above the first [[sources]] for all of them."
            if place
            else "root is not set: set --root, TAILRACE_ROOT or root in the file to the node's data directory, or to a "
            "stream's directory in it."
        )
    elif not layer.keys() & {"root", "stream", "collection"}:
        if place or "collection" in report.require:
            reason = "collection is not set: set collection, or stream or root, which tell its default."
            report.problems.append(prefix + reason)
        else:
            return None
    return _validate(SourceSettings, _with_derived(layer, report), prefix, report)


def _with_absolute_paths(layer: Layer, report: _Report) -> Layer:
    result = dict(layer)
    for name, value in layer.items():
        if isinstance(KEYS[name].rule, FilePath) and isinstance(value.given, str) and value.given:
            path = absolute(value.given, value.base, report.environ)
            if not path.startswith("/"):
                report.problems.append(_sentence(name, value, NO_DIRECTORY))
            result[name] = Value(path, value.where, value.base)
    return result


def _with_derived(layer: Layer, report: _Report) -> Layer:
    """With stream, source and collection where they follow from others; what cannot be told is left out, reported."""
    result = dict(layer)
    root, collection = layer.get("root"), layer.get("collection")
    if "stream" not in layer and root is not None:
        stream = _stream_of_root(root, report)
        if stream is not None:
            result["stream"] = stream
    elif "stream" in layer and root is not None:
        _refuse_contradiction(root, layer["stream"], report)
    elif "stream" not in layer and collection is not None:
        result["stream"] = Value(collection.given, "the name of the collection", collection.base)
    stream = result.get("stream")
    if stream is not None and (name := _parsed("stream", stream)):
        family = Value(family_of(name), "the stream's family", stream.base)
        result.setdefault("source", family)
        result.setdefault("collection", family)
    return result


def _parsed(name: str, value: Value) -> Any:
    """None when the value will not do: validation says so, and what follows from it would only repeat that."""
    try:
        return KEYS[name].rule.parse(value.given)
    except ValueError:
        return None


def _refuse_contradiction(root: Value, stream: Value, report: _Report) -> None:
    """HAZARD: a whole stream read by another's schema would end in the rejects."""
    try:
        path = FilePath().parse(root.given)
    except ValueError:
        return  # validation says so
    named = contradicts(path, str(stream.given))
    if named is not None:
        reason = (
            f"leads to the stream {named}, and stream = {stream.given} (from {stream.where}) is set: make them agree"
        )
        report.problems.append(_sentence("root", root, reason))


def _stream_of_root(root: Value, report: _Report) -> Value | None:
    path = _parsed("root", root)
    if path is None:
        return None
    try:
        return Value(stream_below(path), "the path of root", root.base)
    except ValueError as error:
        report.problems.append(_sentence("root", root, str(error)))
        return None


def _validate(model: type[Model], layer: Layer, prefix: str, report: _Report) -> Model | None:
    report.where.update({prefix + name: value.where for name, value in layer.items()})
    try:
        return model.model_validate({name: value.given for name, value in layer.items()})
    except ValidationError as failure:
        for error in failure.errors(include_url=False, include_input=False):
            if error["type"] != "missing":  # reported where it could not be told
                name = str(error["loc"][0])
                report.problems.append(_sentence(name, layer[name], str(error["ctx"]["error"])))
        return None


def _sentence(name: str, value: Value, reason: str) -> str:
    shown = "" if name == "mongodb_uri" else f" = {_shown(value.given)}"
    return f"{name}{shown} (from {value.where}) {reason}" + ("" if reason.endswith("?") else ".")


def _shown(given: object) -> str:
    """A value in a sentence. What looks like a connection string under a wrong key is hidden, too."""
    if isinstance(given, str) and ":/" in given:
        return credentials.HIDDEN
    if isinstance(given, (dict, list)):
        return "a table" if isinstance(given, dict) else "a list"
    if isinstance(given, int) and is_huge(given):
        return "a huge number"
    if isinstance(given, (str, bool, int, float)):
        text = json.dumps(given, ensure_ascii=False)
        return text if len(text) <= 100 else text[:100] + '..."'
    return str(given)
