"""Stage 1: the tree and its files. Knows names, bytes and notifications; nothing of entries or of MongoDB.

    names       path <-> hour, the tree            discovery   scans -> appeared, changed, vanished
    day_folder  one day's folder                   hints       look sooner; the watcher that only polls
    reading     positional reads, archives too     watch       the watcher that asks the kernel
    seal        when a descriptor may be closed    tailer      one life, forward: chunks of whole lines

Times are arguments (monotonic seconds); nothing here waits for anything but the watcher.
"""
