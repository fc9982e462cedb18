"""The proof: files against the database, and what was kept aside put back.

    source      all files of a source -> VerifyReport      selection   which hours
    opening     one file by its name, and which life it is      file   its lines      pieces   its chunks, encoded ahead
    look        one piece against what is stored      collation   the ordered merge of both sides; pure
    pruned      a life without a file, against the ledger's record      tally   what follows from the counts; pure
    strangers   documents that no life explains      hours   hours that nobody knows; pure
    repair      what is missing, stored      patience   how long a live `run` is waited for
    lives       the ledger, read      report   the values      values   two values of a field as text; pure
    replay      rejects -> documents, once their cause is gone      reject_lookup   which rejects

It reads files, the ledger and the collections, and needs no state directory. Only `repair` and `replay` write.
"""
