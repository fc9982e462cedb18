"""Stage 5: what is settled, and the local state that remembers it.

    tracker       the settled prefix of one life; pure, its property test is its specification
    checkpoints   the SQLite store         rows   a checkpoint as a row         directory   the lock

Local state only saves time; the ledger knows every life.
"""
