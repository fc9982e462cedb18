"""Stage 1: the tree and its files. Knows names, bytes and notifications; nothing of entries or of MongoDB.

    names       path <-> hour, the tree            discovery   scans -> appeared, changed, vanished
    day_folder  one day's folder                   watch       hints: look sooner
    reading     positional reads, archives too     tailer      one life, forward: chunks of whole lines
    seal        when a descriptor may be closed

Times are arguments (monotonic seconds); nothing here waits for anything but the watcher.
"""
