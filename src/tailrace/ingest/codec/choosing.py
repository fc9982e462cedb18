"""Which codec is used: what the setting asks for, and what is to be had here."""

from __future__ import annotations

from tailrace.config import CodecChoice
from tailrace.config.native import why_no_native_codec
from tailrace.errors import SettingsError
from tailrace.ingest.codec.codec import Codec, PythonCodec
from tailrace.ingest.codec.native import NativeCodec
from tailrace.model import Framing, Identity, Numbers
from tailrace.streams.schema import Schema


def choose_codec(
    setting: CodecChoice, schema: Schema, framing: Framing, *, identity: Identity, numbers: Numbers
) -> Codec:
    """The codec of a source. Raises SettingsError for an identity that its stream cannot have, and for a native codec
    that is demanded and not there."""
    kind = NativeCodec if is_native(setting) else PythonCodec
    return kind(schema, framing, identity=identity, numbers=numbers)


def is_native(setting: CodecChoice) -> bool:
    """Which of the two. Raises SettingsError as above; `load` has said so before, in better words."""
    why_not = why_no_native_codec()
    if setting is CodecChoice.NATIVE and why_not is not None:
        raise SettingsError([f"codec = native cannot be had: {why_not}; use auto or python"])
    return setting is not CodecChoice.PYTHON and why_not is None


def codec_words(setting: CodecChoice) -> dict[str, str]:
    """For a log: `codec`, which one is used, and `codec_why`, where auto did without the native one."""
    if is_native(setting):
        return {"codec": "native"}
    why_not = why_no_native_codec() if setting is CodecChoice.AUTO else None
    return {"codec": "python"} | ({} if why_not is None else {"codec_why": why_not})
