"""What the benchmarks share: none of it is part of the product, and the product imports none of it.

numbers    medians, percentiles, ratios; pure
machine    what this machine is, which versions run, what a process has used (/proc)
report     common flags, tables, raw numbers as JSON
servers    a mongod with its normal journal, or a replica set of three
load       simulated files and trees, and a process that appends to an hour file
product    `python -m tailrace run` as a subprocess, with the times of its log events
proxy      a TCP proxy that delays, or notes when each insert was acknowledged
sent       the ceiling: documents that are encoded already, sent as fast as PyMongo can
plain      the script that most people would write
programs   where rsyslog, syslog-ng and mongoimport are, if anywhere
peers      the same, configured and started
    catchup    one measured catch-up of each kind

Times are `time.perf_counter`, which on Linux all processes of a machine share.
"""
