"""Stage 3: bytes and a schema -> BSON documents and rejects. Pure.

    codec      the rules, the interface and the plain-Python implementation
    document   elements   an entry -> BSON, as if all were well
    faults     what is wrong with a line, slowly, in the order of the reasons
    nesting    how deep a line nests       slices   one entry of a wrapped line, in its own bytes
    native     the same by the crate in native/; what that is not sure of is the reference's
    choosing   which of the two is used

What is here never raises for what a line may hold.
"""
