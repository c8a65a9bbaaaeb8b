"""What is around a batch on its way: registry ids, Avro's single objects, Glue's header, zstd."""
import importlib
import struct

from .errors import ColumnsError
from .schema import BATCH, RowSchema

BATCH_FINGERPRINT = bytes.fromhex("bd948c1e7d1fbef6")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"
UNPACKED_MAX = 64 * 1024 * 1024


class Envelope:
    """kind: "confluent", "single-object", "glue" or None; schema: id of the writer's schema (int, 8 or 16 bytes); body: what follows."""

    __slots__ = ("kind", "schema", "body")

    def __init__(self, kind, schema, body):
        self.kind, self.schema, self.body = kind, schema, body


def dictionaries_of(dictionaries):
    """zstd dictionaries by the number that their frames carry; each the bytes of one."""
    by_id = {}
    for data in map(bytes, dictionaries):
        if data[:4] != DICTIONARY_MAGIC or len(data) < 8:
            raise ValueError("not a trained zstd dictionary")
        by_id[int.from_bytes(data[4:8], "little")] = data
    return by_id


def unwrap(message, *, unpacked_max=UNPACKED_MAX, dictionaries=()):
    """The envelope of a message. A zstd frame is unpacked first, to at most `unpacked_max` bytes, by one of `dictionaries` if it names one."""
    message = bytes(message)
    if message[:4] == ZSTD_MAGIC:
        message = _unpacked(message, unpacked_max, dictionaries)
    if message[:1] == b"\0" and len(message) >= 5:
        return Envelope("confluent", struct.unpack(">i", message[1:5])[0], message[5:])
    if message[:2] == b"\xc3\x01" and len(message) >= 10:
        return Envelope("single-object", message[2:10], message[10:])
    if message[:2] == b"\x03\0" and len(message) >= 18:
        return Envelope("glue", message[2:18], message[18:])
    return Envelope(None, None, message)


def _content_size(frame):
    """What a zstd frame says it holds; None where it does not say, as frames with batches do."""
    descriptor = frame[4] if len(frame) > 4 else 0
    single = descriptor >> 5 & 1
    at = 6 - single + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[descriptor >> 6]
    size = int.from_bytes(frame[at:at + width], "little") + (256 if width == 2 else 0)
    return size if width and len(frame) >= at + width else None


def _dictionary(frame, dictionaries):
    """The dictionary that a zstd frame needs; None for none."""
    at, width = 6 - (frame[4] >> 5 & 1), (0, 1, 2, 4)[frame[4] & 3]
    number = int.from_bytes(frame[at:at + width], "little")
    if number == 0:
        return None
    if not isinstance(dictionaries, dict):
        dictionaries = dictionaries_of(dictionaries)
    if number not in dictionaries:
        raise ColumnsError("envelope", f"a zstd frame that needs dictionary {number}, which is not there")
    return dictionaries[number]


def _decompress(frame, size, dictionary):
    for module in ("compression", "backports"):
        try:
            zstd = importlib.import_module(module + ".zstd")
        except ImportError:
            continue
        d = zstd.ZstdDecompressor(zstd_dict=zstd.ZstdDict(dictionary) if dictionary else None)
        data = d.decompress(frame, max_length=size + 1)
        if not d.eof or d.unused_data:
            raise ValueError("it ends early, or late")
        return data
    try:
        import zstandard
    except ImportError:
        raise ImportError("a message is a zstd frame: install zstandard") from None
    trained = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    return zstandard.ZstdDecompressor(dict_data=trained).decompress(frame, max_output_size=size, allow_extra_data=False)


def _unpacked(frame, unpacked_max, dictionaries):
    size = _content_size(frame)
    if size is None:
        return frame
    if size > unpacked_max:
        raise ColumnsError("envelope", f"a zstd frame of {size} bytes, over {unpacked_max}")
    dictionary = _dictionary(frame, dictionaries)
    try:
        data = _decompress(frame, size, dictionary)
    except ImportError:
        raise
    except Exception as e:
        raise ColumnsError("envelope", f"not a zstd frame: {e}") from None
    if len(data) != size:
        raise ColumnsError("envelope", f"a zstd frame of {len(data)} bytes that says {size}")
    return data


class Consumer:
    """Reads topics that hold batches, rows as ever, or both.

    schema_of(id): text, or RowSchema, of the schema with this id (an int of a registry; 8 bytes, CRC-64-AVRO little endian; 16 bytes, Glue's version).
    What it has found is kept, `schemas_max` of them. dictionaries: the bytes of each zstd dictionary that messages may be packed by.
    Further options as in decode()."""

    def __init__(self, schema_of, *, schemas_max=1000, unpacked_max=UNPACKED_MAX, dictionaries=(), **options):
        self._dictionaries = dictionaries_of(dictionaries)
        self._schema_of, self._schemas_max, self._unpacked_max, self._options = schema_of, schemas_max, unpacked_max, options
        self._schemas = {}

    def schema(self, id_):
        found = self._schemas.get(id_)
        if found is None:
            found = self._schema_of(id_)
            if not isinstance(found, RowSchema):
                try:
                    found = RowSchema(found)
                except ColumnsError as e:
                    found = e        # of another kind: not asked for again with each of its messages
            if len(self._schemas) >= self._schemas_max:
                self._schemas.pop(next(iter(self._schemas)))
            self._schemas[id_] = found
        if isinstance(found, ColumnsError):
            raise found.with_traceback(None)
        return found

    def is_batch(self, envelope):
        if envelope.kind == "single-object":
            return envelope.schema == BATCH_FINGERPRINT
        try:
            return envelope.kind is not None and self.schema(envelope.schema).name == BATCH
        except ColumnsError:
            return False             # a schema of another kind: not ours

    def decode(self, message):
        """Decoded for a batch; None for what is not: a row as ever, or a tombstone, is the caller's."""
        if message is None:
            return None
        envelope = unwrap(message, unpacked_max=self._unpacked_max, dictionaries=self._dictionaries)
        if not self.is_batch(envelope):
            return None
        from . import Batch, decode
        batch = Batch.parse(envelope.body)
        return decode(batch, self.schema(batch.schema), **self._options)

    def rows(self, message, else_row=None):
        """The rows of a message: those of a batch; of anything else `[else_row(message)]`, or `[message]` itself."""
        decoded = self.decode(message)
        if decoded is not None:
            return decoded.rows
        return [message if else_row is None else else_row(message)]
