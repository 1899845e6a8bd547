"""An input of i-PI, read as text.

tree       XML as nodes that know their lines and bytes
reading    what an input says of its run
structure  the atoms that it begins with
patch      the copy with one more force field
commands   what to type next
attaching  all of it together
"""
