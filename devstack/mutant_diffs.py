"""Prints what each named mutant changes. Run in the folder that mutmut works in, whose settings it reads at import."""

import sys

from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant

for name in sys.argv[1:]:
    print(name)
    print(get_diff_for_mutant(name, path=find_mutant(name).path))
