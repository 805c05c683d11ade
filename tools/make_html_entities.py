"""Writes src/text/html_entities.cpp: the named character references of HTML 5, as Python has them.

Usage: make_html_entities.py > src/text/html_entities.cpp (then clang-format-19 -i)
"""

import html.entities

HEAD = """// Written by tools/make_html_entities.py from the named character references of HTML 5
// (WHATWG HTML, section 13.5). One entry: name, '*' if it counts without its semicolon too, ':',
// one or two code points in hexadecimal joined by '+'.
#include "text/html_entities.h"

namespace pangu::text {

std::string_view html_entity_table() {
  return
"""
TAIL = """}

}  // namespace pangu::text
"""


def main():
    table = html.entities.html5
    entries = []
    for name in sorted(name[:-1] for name in table if name.endswith(";")):
        points = "+".join(f"{ord(c):X}" for c in table[name + ";"])
        entries.append(f"{name}{'*' if name in table else ''}:{points} ")
    lines, line = [], ""
    for entry in entries:
        if len(line) + len(entry) > 90:
            lines.append(line)
            line = ""
        line += entry
    lines.append(line)
    print(HEAD + "\n".join(f'      "{line}"' for line in lines) + ";\n" + TAIL, end="")


if __name__ == "__main__":
    main()
