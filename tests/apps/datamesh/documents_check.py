#!/usr/bin/env python3
"""documents_check.py GENERATOR DOCS: what is committed is what the table of commands
says, and manual pages are clean for mandoc where it is installed."""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile


# Written by hand.
BY_HAND = ["man/datameshd.8"]


def main(generator: str, docs: str) -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([generator, folder], check=True)
        made = sorted(os.path.relpath(os.path.join(top, name), folder) for top, _, names in os.walk(folder) for name in names)
        for name in made:
            there = os.path.join(docs, name)
            if not os.path.exists(there) or not filecmp.cmp(os.path.join(folder, name), there, shallow=False):
                print(f"{name} is not what the table says; run: datamesh-documents {docs}")
                bad += 1
        for name in sorted(os.listdir(os.path.join(docs, "man"))):
            if os.path.join("man", name) not in made + BY_HAND:
                print(f"man/{name} belongs to no command")
                bad += 1
        if shutil.which("mandoc"):
            for page in [os.path.join(folder, name) for name in made] + [os.path.join(docs, name) for name in BY_HAND]:
                if page.endswith((".1", ".8")):
                    # References to other pages are looked up in the system's manual.
                    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "style", page], capture_output=True, text=True, check=False)
                    findings = [line for line in lint.stdout.splitlines() if "referenced manual not found" not in line and "operating system explicitly" not in line]
                    for line in findings:
                        print(line)
                    bad += len(findings)
        else:
            print("mandoc is not installed: pages are not linted")
    print(f"{len(made)} documents, {bad} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
