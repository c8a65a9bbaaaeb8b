"""Decodes the `columns` layout of the ingestion agent weir: one message is a batch of rows, column by column.

    schema = RowSchema(text)
    decoded = decode(record, schema)          # record: the Avro record weir.columns.Batch, without an envelope
    decoded.rows, decoded.sequences, decoded.agent

    consumer = Consumer(schema_of)            # schema_of(id): the text of a schema
    for row in consumer.rows(message): ...    # any message of a topic: a batch, or a row as ever"""
from .batch import Batch
from .envelope import Consumer, Envelope, unwrap
from .errors import ColumnsError
from .rows import Shape, sequences_and_rows
from .schema import RowSchema

__all__ = ["Batch", "ColumnsError", "Consumer", "Decoded", "Envelope", "RowSchema", "decode", "to_arrow", "unwrap"]
__version__ = "1.0.0"

BUDGET = 10_000_000


class Decoded:
    """What a batch holds. sequences: one number for each row; schema: the id of the row schema as the batch has it."""

    __slots__ = ("rows", "sequences", "agent", "schema")

    def __init__(self, rows, sequences, agent, schema):
        self.rows, self.sequences, self.agent, self.schema = rows, sequences, agent, schema


def decode(record, row_schema, *, budget=BUDGET, logical=True, named_unions=False):
    """Rows, sequence numbers and agent of a batch; ColumnsError for any that is none.

    record: the bytes of weir.columns.Batch, a Batch, or the mapping that an Avro library has made of it.
    row_schema: a RowSchema, or its text (parsed at each call).
    budget: values that a batch may have, all fields, items and nulls counted.
    logical: dates, times, timestamps, decimals and UUIDs as Python's types; else as the int, bytes or str that Avro stores.
    named_unions: a value of a union, but for null, as {name of its branch: value}."""
    if isinstance(record, (bytes, bytearray, memoryview)):
        record = Batch.parse(record)
    elif not isinstance(record, Batch):
        record = Batch.of(record)
    if not isinstance(row_schema, RowSchema):
        row_schema = RowSchema(row_schema)
    sequences, rows = sequences_and_rows(record, row_schema, budget, Shape(logical, named_unions))
    return Decoded(rows, sequences, record.agent, record.schema)


def to_arrow(record, row_schema, *, budget=BUDGET, sequence=None):
    """As a pyarrow Table (needs pyarrow): see arrow.py for the types. sequence: name of a column of sequence numbers to add."""
    from .arrow import table
    return table(record, row_schema, budget, sequence)
