"""The proof: files against the database, and what was kept aside put back.

    source      all files of a source -> VerifyReport      selection   which hours
    file        one file      pieces   its chunks, encoded ahead      look   one piece against what is stored
    collation   the ordered merge of both sides; pure       report      the values
    replay      rejects -> documents, once their cause is gone        reject_lookup   which rejects

It reads files, the ledger and the collections, and needs no state directory.
"""
