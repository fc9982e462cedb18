"""Which codec is used: what is asked for, what is there, and what is said where it is not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tailrace.config import CodecChoice, load
from tailrace.config.native import INTERFACE, native_module, why_no_native_codec
from tailrace.errors import SettingsError
from tailrace.ingest.codec.choosing import choose_codec, codec_words
from tailrace.ingest.codec.codec import Codec, PythonCodec
from tailrace.ingest.codec.native import NativeCodec
from tailrace.model import Framing, Identity, Numbers
from tailrace.streams import schema_of

ROOT = Path(__file__).parents[2]
FINE = {"HOME": "/home/u", "TAILRACE_MONGODB_URI": "mongodb://h/", "TAILRACE_ROOT": "/data/node_trades"}


@pytest.fixture
def fresh() -> Iterator[None]:
    """What was found out about the module before is forgotten, and again after."""
    native_module.cache_clear()
    yield
    native_module.cache_clear()


def chosen(setting: CodecChoice) -> Codec:
    schema = schema_of("node_trades")
    return choose_codec(setting, schema, Framing.BARE, identity=Identity.POSITION, numbers=Numbers.DECIMAL)


def of_interface(number: object) -> ModuleType:
    module = ModuleType("tailrace_native")
    module.INTERFACE = number  # type: ignore[attr-defined]  # what a crate of that version has
    return module


ABSENT = {
    "missing": (None, "tailrace-native is not installed"),
    "newer": (of_interface(INTERFACE + 1), f"of another version (interface {INTERFACE + 1}, not {INTERFACE})"),
    "something else": (ModuleType("tailrace_native"), f"of another version (interface None, not {INTERFACE})"),
}


@pytest.mark.parametrize(("module", "why"), ABSENT.values(), ids=ABSENT)
def test_without_a_fitting_crate(
    fresh: None, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, why: str
) -> None:
    """auto does without and says why; native is refused in one sentence that says what to do; python does not care."""
    monkeypatch.setitem(sys.modules, "tailrace_native", module)
    assert type(chosen(CodecChoice.AUTO)) is PythonCodec
    assert type(chosen(CodecChoice.PYTHON)) is PythonCodec
    words = codec_words(CodecChoice.AUTO)
    assert words["codec"] == "python"
    assert why in words["codec_why"]
    assert codec_words(CodecChoice.PYTHON) == {"codec": "python"}
    with pytest.raises(SettingsError) as caught:
        chosen(CodecChoice.NATIVE)
    assert why in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load({"codec": "native"}, FINE, None)
    (problem,) = caught.value.problems
    assert problem.startswith('codec = "native" (from --codec) cannot be had: ')
    assert why in problem
    assert problem.endswith("make install builds it where cargo is, or use auto or python.")


@pytest.mark.skipif(why_no_native_codec() is not None, reason=f"no native codec: {why_no_native_codec()}")
def test_with_the_crate() -> None:
    """auto takes it, python does not."""
    assert type(chosen(CodecChoice.AUTO)) is NativeCodec
    assert type(chosen(CodecChoice.NATIVE)) is NativeCodec
    assert type(chosen(CodecChoice.PYTHON)) is PythonCodec
    assert codec_words(CodecChoice.AUTO) == codec_words(CodecChoice.NATIVE) == {"codec": "native"}
    assert codec_words(CodecChoice.PYTHON) == {"codec": "python"}


def test_an_identity_that_the_stream_cannot_have_is_refused_by_either() -> None:
    """Before anything is created."""
    for setting in (CodecChoice.AUTO, CodecChoice.PYTHON):
        with pytest.raises(SettingsError, match="identity = content is not possible"):
            choose_codec(setting, schema_of("other"), Framing.BARE, identity=Identity.CONTENT, numbers=Numbers.DECIMAL)


def test_make_install_has_built_it_where_cargo_is() -> None:
    """So that the tests of the native codec are not skipped unnoticed."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not here")
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("this is not the environment that make install makes")
    assert why_no_native_codec() is None, (ROOT / ".venv" / "native.log").read_text()
