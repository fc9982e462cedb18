"""What an HTTP endpoint answers, as a client and as Prometheus see it."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str


def ask(url: str, path: str, method: str = "GET", *, timeout: float = 5, **headers: str) -> Reply:
    """One request on a connection of its own; `url`: scheme, host and port."""
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
    finally:
        connection.close()


class Scrape:
    """Prometheus' text format, parsed."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = [sample for family in self.families.values() for sample in family.samples]
        self.series: Series = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}
        assert len(self.series) == len(samples), "one series twice: Prometheus would refuse all of it"

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have these labels. There must be one."""
        wanted = set(labels.items())
        found = [value for (known, has), value in self.series.items() if known == name and wanted <= set(has)]
        assert found, f"no {name} {labels}"
        return sum(found)
