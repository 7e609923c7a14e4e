"""What the site needs beyond its plugins: prompts that are not copied, numbered references.

Pages show examples as sessions of the interpreter, so that tests can execute them; the class of
the prompt lets the copy button leave it out. Docstrings cite in the manner of numpydoc, which
nothing between them and the page understands.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from typing import Any

_CODE = re.compile(r"(<pre.*?</pre>|<code.*?</code>)", re.DOTALL)
_REFERENCES = re.compile(
    r'(<details class="references" open>\s*<summary>References</summary>)(.*?)(</details>)',
    re.DOTALL,
)
_FETCHED = re.compile(
    r"<script[^>]*>(?:(?!</script>).)*cdnjs(?:(?!</script>).)*</script>", re.DOTALL
)
# What tells the tests how to compare an output, and a reader nothing.
_FOR_TESTS = re.compile(r'\s*<span class="c1"># doctest: [^<]*</span>|&lt;BLANKLINE&gt;')
_INLINE = re.compile(r"<pre.*?</pre>|<code>([^<]+)</code>", re.DOTALL)
_FIGURE = re.compile(r'<img [^>]*src="([^"]*figures/[^"]+)"[^>]*>')
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")  # which a browser would break at its hyphens
_PLACES = re.compile(r"(?<=[/(_])(?=[A-Za-z])|(?<=\.)(?=[A-Za-z]{5})")

COMMANDS = "<!-- commands -->"


def _commands() -> str:
    """Return the help of every command, as headings below the second level."""
    command = [sys.executable, "-m", "typer", "rsverify.cli.app", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "rsverify"], check=True, capture_output=True, text=True
    )
    return re.sub(r"^(#+) ", r"#\1 ", done.stdout.split("## ", 1)[1].join(["## ", ""]), flags=re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Call a session of the interpreter by its name, and list the commands where they belong."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, _commands())
    return re.sub(r"^```python\n(?=>>> )", "```pycon\n", markdown, flags=re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """Show the citations of docstrings as numbers, and their sources as lists.

    Notebooks come with a script that would fetch a library for diagrams, of which they have none,
    and with figures that say nothing to those who cannot see them.
    """
    html = _FETCHED.sub("", html)
    html = _FOR_TESTS.sub("", html)
    html = _INLINE.sub(_breaking, html)
    html = re.sub(r"path(</span>)? - like", r"path\1-like", html)
    html = _FIGURE.sub(r'<a href="\1" title="Full size">\g<0></a>', html)
    html = re.sub(r'href="\.\./([\w-]+)\.md', r'href="../../\1/', html)  # as files link to files
    html = html.replace("No description has been provided for this image", "Figure of this cell")
    html = _REFERENCES.sub(_listed, html)
    parts = _CODE.split(html)
    parts[::2] = [re.sub(r"\[(\d+)\]_", r"<sup>[\1]</sup>", part) for part in parts[::2]]
    return "".join(parts)


def _breaking(found: re.Match[str]) -> str:
    """Return code in a line of text: in one piece if short, else with places where it may break."""
    if found[1] is None:
        return found[0]
    if len(unescape(found[1])) <= 18:
        return f'<code class="short">{found[1]}</code>'
    code = _OPTION.sub(r'<span class="short">\g<0></span>', _PLACES.sub("<wbr>", found[1]))
    return f"<code>{code}</code>"


def _listed(found: re.Match[str]) -> str:
    """Return the sources of one docstring as a list."""
    text = re.sub(r"</?p>", "", found[2])
    sources = re.split(r"\.\. \[(\d+)\]\s*", text)
    items = [
        f'<li value="{number}">{source.strip()}</li>'
        for number, source in zip(sources[1::2], sources[2::2], strict=True)
    ]
    return f"{found[1]}<ol>{''.join(items)}</ol>{found[3]}" if items else found[0]
