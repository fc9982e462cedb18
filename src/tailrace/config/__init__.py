"""Configuration: file + environment + flags -> frozen Settings, checked once, every problem at once.

    merge      who set what: defaults < file < environment < flags    merge.py, paths.py
    rules      what a value may be                                    rules.py, connection.py, uri.py, units.py
    models     the settings, one field each                           sources.py, settings.py
    load       merge, derive, validate, check; one sentence a problem load.py, credentials.py, checks.py, native.py
    faces      options of the command line; the documentation         flags.py, document.py

In short: `loaded = load(flags, os.environ, config_path)`.
"""

from tailrace.config.connection import Address, WriteConcern
from tailrace.config.load import FOR_INGESTING, Loaded, effective, load
from tailrace.config.settings import KEYS, CodecChoice, Key, LogFormat, LogLevel, Settings, Watch
from tailrace.config.sources import SourceSettings

__all__ = [
    "FOR_INGESTING",
    "KEYS",
    "Address",
    "CodecChoice",
    "Key",
    "Loaded",
    "LogFormat",
    "LogLevel",
    "Settings",
    "SourceSettings",
    "Watch",
    "WriteConcern",
    "effective",
    "load",
]
