#!/usr/bin/env python3
"""Shows the form checker a file that it must refuse and one that it must let pass."""

import os
import shutil
import sys
import tempfile

import format as form

program = form.formatter()
if not program:
    print("clang-format 14 is not installed")
    sys.exit(form.SKIPPED)
style = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.clang-format")
with tempfile.TemporaryDirectory() as folder:
    shutil.copy(style, folder)
    good, bad = os.path.join(folder, "good.cpp"), os.path.join(folder, "bad.cpp")
    for path, text in ((good, "int f(int* p) {\n  return *p;\n}\n"), (bad, "int f( int *p )\n{ return *p; }\n")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    found = form.ill_formed(program, [good, bad])
    assert found == {bad}, found
print("refuses the one, lets the other pass")
