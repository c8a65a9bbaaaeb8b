#!/usr/bin/env python3
"""The manual pages and the completion for bash, from what the program says of itself: --help and its option tables.

usage: ports/debian/pages.py WEIR OUT     writes OUT/weir.1, OUT/weir.json.5, OUT/weir (completion)"""
import os
import re
import subprocess
import sys

weir, out = sys.argv[1:]
DATE = "2025-01-01"     # of no meaning, so that the same sources give the same bytes


def said(*words):
    return subprocess.run([weir, *words], stdout=subprocess.PIPE, text=True, check=True).stdout


def roff(text):
    """Text for roff: its own signs escaped, no line that starts as a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def marked(text):
    """A line of Markdown: `words` are bold, a table's \\| is a bar."""
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fP", roff(text.replace(r"\|", "|")))


def head(name, section, what):
    return f'.TH {name.upper()} {section} "{DATE}" "weir {version}" "weir"\n.SH NAME\n{roff(name)} \\- {what}\n'


version = said("version").split()[1]
overview = said("--help")
usages = re.findall(r"^  weir (\S+.*)$", overview, flags=re.M)
commands = [usage.split()[0] for usage in usages]


def manual():
    page = head("weir", 1, roff("collects events at a site, keeps each one safely, and delivers it once")) + ".SH SYNOPSIS\n"
    for usage in usages:
        command, _, rest = usage.partition(" ")
        page += f".B weir {roff(command)}\n{roff(rest)}\n.br\n"
    page += (".SH DESCRIPTION\n" + roff("An edge ingestion agent for sites with a thin, metered or broken link: events of the site's devices are kept "
             "in a buffer on the disk, packed into few bytes, and delivered. The configuration is described in weir.json(5).") + "\n")
    for command in commands:
        text = said(command, "--help").split("\n\n", 1)[1]
        page += f".SH weir {command}\n.nf\n{roff(text.rstrip())}\n.fi\n"
    page += (".SH EXIT STATUS\n0 fine, 1 a negative answer, 2 bad usage or bad input, 3 failed.\n.SH FILES\n.TP\n.I /etc/weir/weir.json\nThe configuration.\n"
             ".TP\n.I /var/lib/weir\nThe buffer, and the control socket of the running agent.\n.SH SEE ALSO\n.BR weir.json (5)\n")
    return page


def format_page():
    page = head("weir.json", 5, "the configuration of weir")
    page += ".SH DESCRIPTION\n"
    for line in said("config", "reference").splitlines()[2:]:
        if line.startswith("Made by "):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("## "):
            page += f".SH {marked(line[3:])}\n"
        elif line.startswith("### "):
            page += f".SS {marked(line[4:])}\n"
        elif len(cells) == 4:
            if cells[0] in ("option", "---"):
                continue
            value = cells[1] + (f", default {cells[2]}" if cells[2] else "")
            page += f".TP\n{marked(cells[0])}: {marked(value)}\n{marked(cells[3])}\n"
        elif line.strip():
            page += f".PP\n{marked(line)}\n"
    return page + ".SH SEE ALSO\n.BR weir (1)\n"


def completion():
    cases = ""
    for command, usage in zip(commands, usages):
        text = said(command, "--help")
        options = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) | {"--help"})
        verbs = [part.split()[0] for part in re.split(r" \| ", usage.partition(" ")[2]) if re.match(r"[a-z]", part)]
        cases += f"    {command}) words=\"{' '.join(dict.fromkeys(verbs + options))}\" ;;\n"
    return f"""# bash completion for weir; made by ports/debian/pages.py from weir --help
_weir() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words=
  case ${{COMP_WORDS[1]}} in
{cases}  esac
  [ "$COMP_CWORD" -gt 1 ] || words="{' '.join(commands)} --help --version"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _weir weir
"""


for name, text in (("weir.1", manual()), ("weir.json.5", format_page()), ("weir", completion())):
    with open(os.path.join(out, name), "w") as f:
        f.write(text)
