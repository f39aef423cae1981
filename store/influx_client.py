"""One connection to InfluxDB 2 through influxdb-client: writes, bulk reads, and errors that help.

Reads go through InfluxQL with CSV answers, which the server writes as one table with a column per
field: measured 3 to 4 times faster than Flux with `pivot`, and parsed in bulk by Arrow.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3.exceptions
from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import float64, int64, string

from plant.errors import StoreError
from plant.times import SECOND_MS
from store.settings import TOKEN_VARIABLE, InfluxSettings

#: A write that was taken answers with this and nothing else; a 200 comes from some proxy.
_TAKEN = 204
#: Columns of an answer that are not numbers; no field of a signal has one of these names.
TAG_COLUMNS = frozenset({"name", "tags", "site", "line", "asset", "simulated", "vigie.run_id"})

#: What 2.7 says, and what others of the family say.
_EXPIRED = re.compile(r"(outside|beyond) retention policy")
_DROPPED = re.compile(r"dropped[ =](\d+)")

#: Sent after each bulk read: a server that failed on the read does not answer this any more.
_SENTINEL = "SHOW MEASUREMENTS LIMIT 1"
_SENTINEL_HEAD = b"name,tags,name\nmeasurements,,"

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call failed. `status` 0: no whole answer came (down, hang, reset, half a reply)."""

    status: int
    message: str
    retry_after: str = ""

    @property
    def about_points(self) -> bool:
        """Tell whether the server refuses what is in the points; any other trouble passes."""
        return self.status in {400, 422}

    @property
    def beyond_retention(self) -> bool:
        """Tell whether points were only too old to be kept; the others of the write are in."""
        return self.about_points and _EXPIRED.search(self.message) is not None

    @property
    def dropped(self) -> int | None:
        """Points the server says it dropped; None when it does not say."""
        found = _DROPPED.search(self.message)
        return int(found.group(1)) if found else None


class InfluxError(StoreError):
    """InfluxDB did not do it; `refusal` says what it answered."""

    def __init__(self, refusal: Refusal, message: str, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.refusal = refusal


class InfluxConnection:
    """A pooled connection; any thread may use it."""

    def __init__(self, settings: InfluxSettings, *, timeout_s: float | None = None) -> None:
        self.settings = settings
        self._client = InfluxDBClient(
            url=settings.url,
            token=settings.read_token(),
            org=settings.org,
            timeout=int((timeout_s or settings.timeout_s) * SECOND_MS),
            enable_gzip=settings.gzip,
            verify_ssl=settings.verify_tls,
            ssl_ca_cert=None if settings.ca_file is None else str(settings.ca_file),
            connection_pool_maxsize=8,
            retries=False,
        )
        self._writes = WriteService(self._client.api_client)

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        """Send line protocol; returns when the server has it. Raises InfluxError."""
        try:
            _, status, _ = self._writes.post_write_with_http_info(
                org=self.settings.org,
                bucket=bucket,
                body=lines,
                precision=precision,
                content_encoding="gzip" if self.settings.gzip else "identity",
                content_type="text/plain; charset=utf-8",
            )
        except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._error(error, bucket) from error
        if status != _TAKEN:
            refusal = Refusal(0, f"a write was answered with {status} instead of {_TAKEN}")
            raise self._explain(refusal, bucket)

    def query(self, bucket: str, influxql: str, texts: Collection[str] = ()) -> dict[str, Column]:
        """Return the answer's columns by name: time int64 (ns), tags and `texts` objects, else float64.

        Empty when nothing matches. Raises InfluxError.
        """
        data = self._influxql(bucket, f"{influxql}; {_SENTINEL}", "application/csv")
        body, sentinel, _ = data.rpartition(_SENTINEL_HEAD)
        if not sentinel:
            # An error, which CSV does not show, or an empty bucket: JSON tells them apart.
            self.tables(bucket, influxql)
            return {}
        return parse_columns(body, texts)

    def tables(self, bucket: str, influxql: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Return (tags, column to value) per series of an aggregate. Raises InfluxError."""
        data = self._influxql(bucket, influxql, "application/json")
        rows = []
        for result in orjson.loads(data).get("results", []):
            if message := result.get("error", ""):
                # InfluxQL answers 200 to a query that failed, with the reason inside.
                raise self._explain(
                    Refusal(404 if "not found" in message else 500, message), bucket
                )
            for series in result.get("series", []):
                for values in series["values"]:
                    named = dict(zip(series["columns"], values, strict=True))
                    rows.append((series.get("tags", {}), named))
        return rows

    def api(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        """Make one call of the management API; JSON in and out. Raises InfluxError."""
        data = self._call(method, path, "", query=query, body=body)
        return orjson.loads(data) if data else {}

    def check(self, bucket: str) -> None:
        """Raise InfluxError when the server, the bucket, or reading or writing it is out of reach."""
        self.tables(bucket, _SENTINEL)
        try:
            self.write(bucket, b"\n")
        except InfluxError as error:
            if not error.refusal.about_points:  # allowed to write, if only there were a point
                raise

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        bucket: str,
        *,
        query: Any = None,
        body: Any = None,
        accept: str = "application/json",
    ) -> bytes:
        try:
            answer = self._client.api_client.call_api(
                path,
                method,
                query_params=query or {},
                header_params={"Accept": accept, "Content-Type": "application/json"},
                body=body,
                response_type=None,
                auth_settings=[],  # the client sends its token with every call
                _return_http_data_only=True,
                _preload_content=False,
            )
            data: bytes = answer.data
        except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._error(error, bucket) from error
        return data

    def _influxql(self, bucket: str, influxql: str, accept: str) -> bytes:
        query = {"db": bucket, "org": self.settings.org, "q": influxql, "epoch": "ns"}
        return self._call("GET", "/query", bucket, query=query, accept=accept)

    def _error(self, error: Exception, bucket: str) -> InfluxError:
        if not isinstance(error, ApiException) or not error.status:
            # The client wraps trouble with encryption, and only that, without a status.
            text = error.reason if isinstance(error, ApiException) else str(error)
            return self._explain(Refusal(0, f"{type(error).__name__}: {text}"), bucket)
        body = error.body or b""
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        try:
            text = str(orjson.loads(text)["message"])
        except (ValueError, KeyError, TypeError):
            text = text.strip() or str(error.reason)
        headers = error.headers or {}
        retry_after = str(headers.get("Retry-After") or headers.get("retry-after") or "")
        return self._explain(Refusal(int(error.status), text[:2_000], retry_after), bucket)

    def _explain(self, refusal: Refusal, bucket: str) -> InfluxError:
        url, org = self.settings.url, self.settings.org
        shown = " ".join(refusal.message.split())[:300]
        match refusal.status:
            case 0:
                message = f"InfluxDB at {url} cannot be reached ({shown})."
                fix = "Start it, or mend [store.influx] url in vigie.toml."
                if "CERTIFICATE_VERIFY_FAILED" in shown:
                    fix = "Set [store.influx] ca_file to the authority that signed its certificate."
            case 401:
                message = f"InfluxDB at {url} does not accept the token."
                fix = f"Mend [store.influx] token_file, or {TOKEN_VARIABLE}."
            case 403:
                message = f"InfluxDB's token may not use the bucket {bucket!r}."
                fix = "Give it read and write on Vigie's buckets: `vigie init --store influx`."
            case 404:
                message = f"InfluxDB has no bucket {bucket!r} in organisation {org!r} ({shown})."
                fix = "Make it with `vigie init --store influx`, or mend [store.influx]."
            case _:
                message = f"InfluxDB at {url} answered {refusal.status} ({shown})."
                fix = "See the server's log."
        return InfluxError(refusal, message, fix)


def parse_columns(data: bytes, texts: Collection[str] = ()) -> dict[str, Column]:
    """Read the CSV of an InfluxQL answer; columns without any value are left out."""
    if not data.strip():
        return {}
    header = data[: data.index(b"\n")].decode().strip().split(",")
    types = {
        name: int64()
        if name == "time"
        else string()
        if name in TAG_COLUMNS or name in texts
        else float64()
        for name in header
    }
    table = arrow_csv.read_csv(
        io.BytesIO(data),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    return {
        name: _to_numpy(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name in {"time"} or column.null_count < len(column)
    }


def _to_numpy(column: Any) -> Column:
    array: Column = column.to_numpy()
    return array
