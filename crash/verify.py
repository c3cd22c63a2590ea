"""Everything that a server shows, read after a restart and judged by the ledgers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from xml.etree.ElementTree import Element

from crash.content import Found
from crash.load import BUCKET, Caller, Failed, show
from crash.oracle import LOST, WRONG, FoundUpload, Ledger, Verdict

PAGE = 7


def verify(client: Caller, ledgers: list[Ledger]) -> Verdict:
    """Return what is wrong with the store behind ``client``; the ledgers take what was found as the truth."""
    verdict = Verdict()
    buckets = _texts(_ask(client, "/"), "{*}Buckets/{*}Bucket/{*}Name")
    if BUCKET not in buckets:
        verdict.add(LOST, f"bucket {BUCKET}")
        return verdict
    uploads = _uploads(client)
    with ThreadPoolExecutor(len(ledgers)) as pool:
        objects = list(pool.map(lambda ledger: _objects(client, ledger, verdict), ledgers))
    for ledger, found in zip(ledgers, objects, strict=True):
        own = {name: upload for name, upload in uploads.items() if upload.key in ledger.objects}
        ledger.settle(found, own, verdict)
        ledger.settle_buckets(set(buckets), verdict)
    if verdict.lines:
        return verdict
    shown = {key: value for found in objects for key, value in found.items() if value is not None}
    _check_listings(client, shown, verdict)
    return verdict


def _objects(client: Caller, ledger: Ledger, verdict: Verdict) -> dict[str, Found | None]:
    found: dict[str, Found | None] = {}
    for key in ledger.objects:
        try:
            found[key] = show(client, key)
        except Failed as failed:
            verdict.add(WRONG, str(failed))
    client.close()
    return found


def _check_listings(client: Caller, objects: dict[str, Found], verdict: Verdict) -> None:
    # The whole bucket in pages, and directory by directory.
    expected = [(key, len(found.data), found.etag) for key, found in sorted(objects.items())]
    whole, _ = _listed(client, "")
    if whole != expected:
        verdict.add(LOST, f"the listing {whole} is not what is there: {expected}")
    files, directories = _listed(client, "&delimiter=/")
    for directory in directories:
        inside, deeper = _listed(client, f"&delimiter=/&prefix={quote(directory, safe='')}")
        files += inside
        directories += deeper
    if files != expected or directories != sorted({key.partition("/")[0] + "/" for key in objects}):
        verdict.add(
            LOST, f"the listing by directories {files} {directories} is not what is there: {expected}"
        )


def _listed(client: Caller, query: str) -> tuple[list[tuple[str, int, str]], list[str]]:
    entries: list[tuple[str, int, str]] = []
    prefixes: list[str] = []
    token = ""
    while True:
        root = _ask(client, f"/{BUCKET}?list-type=2&max-keys={PAGE}{query}{token}")
        for entry in root.iterfind("{*}Contents"):
            key, size, etag = (entry.findtext(f"{{*}}{name}") or "" for name in ("Key", "Size", "ETag"))
            entries.append((key, int(size), etag.strip('"')))
        prefixes += _texts(root, "{*}CommonPrefixes/{*}Prefix")
        if root.findtext("{*}IsTruncated") != "true":
            return entries, prefixes
        following = root.findtext("{*}NextContinuationToken") or ""
        token = f"&continuation-token={quote(following, safe='')}"


def _uploads(client: Caller) -> dict[str, FoundUpload]:
    found: dict[str, FoundUpload] = {}
    markers = ""
    while True:
        root = _ask(client, f"/{BUCKET}?uploads&max-uploads={PAGE}{markers}")
        for entry in root.iterfind("{*}Upload"):
            key, upload_id = entry.findtext("{*}Key") or "", entry.findtext("{*}UploadId") or ""
            found[upload_id] = FoundUpload(key, _parts(client, f"/{BUCKET}/{key}?uploadId={upload_id}"))
        if root.findtext("{*}IsTruncated") != "true":
            return found
        key, upload_id = (root.findtext(f"{{*}}Next{name}Marker") or "" for name in ("Key", "UploadId"))
        markers = f"&key-marker={quote(key, safe='')}&upload-id-marker={upload_id}"


def _parts(client: Caller, target: str) -> dict[int, tuple[int, str]]:
    parts: dict[int, tuple[int, str]] = {}
    marker = "0"
    while True:
        root = _ask(client, f"{target}&max-parts=2&part-number-marker={marker}")
        for part in root.iterfind("{*}Part"):
            number, size, etag = (
                part.findtext(f"{{*}}{name}") or "" for name in ("PartNumber", "Size", "ETag")
            )
            parts[int(number)] = int(size), etag.strip('"')
        if root.findtext("{*}IsTruncated") != "true":
            return parts
        marker = root.findtext("{*}NextPartNumberMarker") or ""


def _ask(client: Caller, target: str) -> Element:
    answer = client.request("GET", target)
    if answer.status != 200:
        raise Failed(f"GET {target} is answered {answer.status} {answer.body[:300]!r}")
    return answer.xml()


def _texts(root: Element, path: str) -> list[str]:
    return [element.text or "" for element in root.iterfind(path)]
