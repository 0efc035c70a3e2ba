"""All Triton servers behind the names of a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from omnivec2.errors import ArtifactError
from rollout.triton_control import TritonControl
from service.runtimes.triton.server_names import join_address, parse_server_name, resolve_now


class NamedServers:
    """The servers that some names resolve to; a name may have many addresses.

    Args:
        names: The names, as ``host:port``.

    Attributes:
        controls: The servers, each once.

    Raises:
        ArtifactError: A name cannot be read, or does not resolve.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.controls: list[TritonControl] = []
        self.find_new()

    def find_new(self) -> list[TritonControl]:
        """Look the names up again, and return the servers that are new.

        Raises:
            ArtifactError: A name cannot be read, or does not resolve.
        """
        known = {control.address for control in self.controls}
        new = [address for address in _addresses(self._names) if address not in known]
        added = [TritonControl(address) for address in new]
        self.controls += added
        return added

    def load_into_new(self, models: Iterable[str]) -> list[str]:
        """Load models into servers that came while a head was added.

        Args:
            models: The models, parts before the heads that use them.

        Returns:
            The addresses of those servers.

        Raises:
            ArtifactError: A name does not resolve any more.
            ExportError: A server refuses.
        """
        loaded = list(models)
        new = self.find_new()
        for control in new:
            for model in loaded:
                control.load(model)
        return [control.address for control in new]


@contextmanager
def connected(names: Sequence[str]) -> Iterator[NamedServers]:
    """Yield the servers of some names, and close the connections at the end.

    Raises:
        ArtifactError: A name cannot be read, or does not resolve.
    """
    servers = NamedServers(names)
    try:
        yield servers
    finally:
        for control in servers.controls:
            control.close()


def _addresses(names: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for text in names:
        try:
            name = parse_server_name(text)
        except ValueError as error:
            raise ArtifactError(str(error)) from error
        try:
            addresses = resolve_now(name)
        except (OSError, UnicodeError) as error:
            raise ArtifactError(f"{name} does not resolve: {error}") from error
        found.update(dict.fromkeys(join_address(ip, name.port) for ip in addresses))
    return list(found)
