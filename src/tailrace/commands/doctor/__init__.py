"""What `tailrace check` looks at. One module an area; each gives findings and raises nothing that hides another's.

    finding    what a finding is, and the list of subjects         bounded    a probe that hangs is left behind
    files      root, hours, names   lines, clock  the sample       state      the state directory, read and never opened
    host       disk, descriptors, notifications, http              network, wire, members  each host of mongodb_uri
    server     what the driver sees: user, roles, collection       rights, ledger, capacity  what follows from that
    examine    all of it side by side                              output     for people and for machines

Nothing here creates, locks or writes anything but a copy of the local state in a temporary folder of its own.
"""
