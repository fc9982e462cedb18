"""What `tailrace status` shows of a running instance, from the JSON that it answers.

place    where it answers                 fields   the JSON, lenient: an older or newer instance lacks some
words    verdict and problems in words    rates    entries a second, and their chart      hours   the timeline
view     the report, and one line of it   watch    the live view
"""
