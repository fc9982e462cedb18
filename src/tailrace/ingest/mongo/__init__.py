"""Stage 4: everything that knows MongoDB.

    connection   the client and the collections, with their concerns    server     inspect, prepare
    refusal_sentences  what an operator is told at start-up              health     one state, a quiet log
    retrying   backoff   verdicts    attempts without limit; what each error means
    writer     settling   proof   replies   a span's documents -> inserted, proven, or refused
    rejects    reject_queries        what is kept aside
    ledger     ledger_documents   lease     `<collection>.files`

The driver's exceptions do not leave this folder: they end as verdicts, rejects, or our own errors.
"""
