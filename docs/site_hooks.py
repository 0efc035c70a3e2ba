"""What MkDocs does besides its plugins to build the site from these documents (mkdocs.yml).

The documents are written for a repository's pages, where a link may lead to any file. On the site,

- a file outside of ``docs/`` that a document links to becomes a page under ``source/``, so that no
  link leaves the site;
- headings have the anchors that GitHub gives them;
- the marks of code blocks that tests run are dropped;
- notebooks are pages, too;
- the page of the command line is made from the commands themselves.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "source"
"""The folder of the site with the pages of files outside of ``docs/``."""
COMMAND_LINE = "reference/command-line.md"

_SHIM_ADDRESS = "https://unpkg.com/iframe-worker/shim"
_SHIM = "assets/iframe-worker/shim.js"
_originals: dict[str, str] = {}
"""The paths in the repository of the files that pages under ``source/`` show, by page."""

_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
_MARK = re.compile(r"^(```\w+) run\b.*$", re.MULTILINE)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml",
              ".sh": "bash", ".html": "html", ".js": "javascript"}  # fmt: skip
# Sphinx's roles in docstrings; mkdocstrings reads Markdown.
_ROLE = re.compile(r":(?:py:)?(?:class|func|meth|data|mod|attr|exc|obj):(<code>)~?")
_LITERAL_MARK = re.compile(r"<p>::</p>\n?|(?<=:):(?=</p>)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings GitHub's anchors."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = github_anchor
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of the command line, and those of files that documents link to."""
    files.append(File.generated(config, COMMAND_LINE, content=command_line()))
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            uri = f"{file.src_uri.removesuffix('.ipynb')}.md"
            files.append(File.generated(config, uri, content=notebook_page(file)))
    waiting = [file for file in files if file.is_documentation_page()]
    known = {file.src_uri for file in files}
    while waiting:
        file = waiting.pop()
        for target in _outside(file.src_uri, file.content_string):
            if (uri := page_uri(target)) not in known:
                known.add(uri)
                page = File.generated(config, uri, content=source_page(target))
                files.append(page)
                waiting.append(page)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site, and drop the marks of blocks that tests run."""
    del config, files
    uri = page.file.src_uri
    return _MARK.sub(r"\1", _replace_links(uri, markdown))


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render what docstrings have of Sphinx's markup."""
    del config, files
    if not page.file.src_uri.startswith("reference/"):
        return html
    return _LITERAL_MARK.sub("", _ROLE.sub(r"\1", html))


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Load the worker with which a site on disk searches from the site itself."""
    del config
    return output.replace(_SHIM_ADDRESS, get_relative_url(_SHIM, page.url))


def on_post_template(output: str, *, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for pages that are no documents, such as that of missing pages."""
    del template_name, config
    return output.replace(_SHIM_ADDRESS, f"/{_SHIM}")


def github_anchor(text: str, separator: str = "-") -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def original(uri: str) -> str:
    """Return the path in the repository of the file that a page shows."""
    return _originals.get(uri, f"docs/{uri}")


def page_uri(path: str) -> str:
    """Return the page that shows a file or a folder of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    visible = re.sub(r"(^|/)\.", r"\1dot-", path)  # MkDocs leaves hidden files out
    uri = f"{SOURCE}/{visible}"
    if (ROOT / path).is_dir():
        uri += "/index.md"
    elif not _is_document(path):
        uri += ".md"
    _originals[uri] = path
    return uri


def source_page(path: str) -> str:
    """Return the page of a file or a folder of the repository; it is left out of the search."""
    header = "---\nsearch:\n  exclude: true\n---\n\n"
    if (ROOT / path).is_dir():
        return f"{header}# {path}\n\n" + "\n".join(_listing(ROOT / path)) + "\n"
    text = (ROOT / path).read_text(encoding="utf-8")
    if _is_document(path):
        return text
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return f"{header}# {path}\n\n~~~~~~{language}\n{text.rstrip()}\n~~~~~~\n"


def notebook_page(file: File) -> str:
    """Return the page of a notebook: its texts and its code, and a link to the notebook."""
    name = posixpath.basename(file.src_uri)
    parts = []
    for cell in json.loads(file.content_string)["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"The notebook: [{name}]({name})."]) + "\n"


def command_line() -> str:
    """Return the page of the command line: the help of every command."""
    import typer.main
    from typer.cli import get_docs_for_click

    from omnivec2_cli.main import app

    command: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="omnivec2")
    return re.sub(r"^# `omnivec2`$", "# Command line", text, flags=re.MULTILINE)


def _is_document(path: str) -> bool:
    return path.endswith(".md") and (ROOT / path).is_file()


def _listing(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith((".", "__")):
            yield f"- `{entry.name}{'/' if entry.is_dir() else ''}`"


def _outside(uri: str, markdown: str) -> Iterator[str]:
    """Yield the files and folders outside of ``docs/`` that a page links to."""
    if uri.startswith(f"{SOURCE}/") and not _is_document(original(uri)):
        return
    for match in _LINK.finditer(_FENCE.sub("", markdown)):
        target = _resolve(uri, match["target"])
        if target is not None and not target.startswith("docs/"):
            yield target


def _resolve(uri: str, target: str) -> str | None:
    """Return the path in the repository that a link leads to, or None for an address."""
    if re.match(r"[a-z]+:", target):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(original(uri)), target))
    return path if (ROOT / path).exists() and not path.startswith("..") else None


def _replace_links(uri: str, markdown: str) -> str:
    if uri.startswith(f"{SOURCE}/") and not _is_document(original(uri)):
        return markdown  # code, and names of files

    def lead(match: re.Match[str]) -> str:
        target = _resolve(uri, match["target"])
        if target is None:
            return match[0]
        page = posixpath.relpath(page_uri(target), posixpath.dirname(uri) or ".")
        return page + (match["anchor"] or "")

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(lead, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(lead, markdown[end:])])
