"""Large files, in parts: each with its checksum, and the whole looked at when the service says that it is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends.s3.client import md5
from entra_pipeline.store.backends.s3.errors import code_of

# AWS S3 user guide, "Multipart upload limits": all parts but the last have at least 5 MiB.
_PART_BYTES, _LEAST = 16 << 20, 5 << 20
_PARALLEL = 4


def upload_parts(client: BaseClient, bucket: str, key: str, path: Path) -> None:
    """Stores a file; the object becomes visible when all of it has arrived.

    Args:
        client: boto3's S3 client.
        bucket: Name of the bucket.
        key: The object's whole key.
        path: The file.

    Raises:
        ClientError, BotoCoreError: The service refuses or cannot be reached; what was sent is taken back.
        StoreError: The object has another size than the file.
    """
    size = path.stat().st_size
    length = _PART_BYTES if size > _PART_BYTES else _LEAST
    named = {"Bucket": bucket, "Key": key}
    upload = {**named, "UploadId": client.create_multipart_upload(**named)["UploadId"]}

    def send(place: tuple[int, int]) -> dict[str, object]:
        number, start = place
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
        answer = client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=md5(data))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    try:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            parts = list(pool.map(send, enumerate(range(0, size, length), start=1)))
        try:
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except ClientError as error:
            # The answer of an attempt before was lost: the object may be there.
            if code_of(error) != "NoSuchUpload" or not error.response["ResponseMetadata"].get("RetryAttempts"):
                raise
    except BaseException:
        # What cannot be taken back is found and cleared later, as an upload that never ended.
        with suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(**upload)
        raise
    stored = client.head_object(**named).get("ContentLength", size)
    if stored != size:
        raise StoreError(
            f"s3://{bucket}/{key} has {stored:,} bytes where {size:,} were sent",
            remedy="Try again; then look at the storage service.",
        )
