"""Stage 2: which life each file is, and which is read next.

    choice       pure: the known life that these bytes continue, or the next one
    entrance     entering a file: asks the choice and the ledger     first_start  `start_at = "end"`
    follower     one life while it is followed: tailer + tracker     slots        a name and the files that stood there
    roster       all files of a source, the face of these:
      sightings  what scans and notifications say                 losses       what was lost, and how it is said
      turns      which file that waits is entered next            entering     entering it
      room       who gives up a descriptor                        leaving      sealed, gone, rewritten: the last row
    remembered   what the local state said at the start           descriptors  how many files are open
    placing      far into an archive, in a thread                 schedule     pure: which file is read next

This is where stages 1, 4 and 5 meet: a file gets its life from the ledger, and its checkpoints are made here.
"""
