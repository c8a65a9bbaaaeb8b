"""Logical types as Python has them; a value that Python's type cannot hold stays as it is."""
import datetime
import decimal
import uuid

DECIMAL_MAX = 1785     # bytes: 4300 digits, as many as Python makes of a number; beyond, that takes very long
_DAY_0 = datetime.date(1970, 1, 1)
_LOCAL_0 = datetime.datetime(1970, 1, 1)
_UTC_0 = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def _since(start, unit):
    return lambda v: start + datetime.timedelta(**{unit: v})


def _time(per_second):
    def convert(v):
        if not 0 <= v < 86400 * per_second:
            return v
        seconds, part = divmod(v, per_second)
        return datetime.time(seconds // 3600, seconds // 60 % 60, seconds % 60, part * (1_000_000 // per_second))
    return convert


def _decimal(scale):
    def convert(raw):
        if len(raw) > DECIMAL_MAX:
            raise OverflowError
        unscaled = int.from_bytes(raw, "big", signed=True)
        return decimal.Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale))
    return convert


_CONVERTERS = {
    "date": _since(_DAY_0, "days"),
    "time-millis": _time(1000), "time-micros": _time(1_000_000),
    "timestamp-millis": _since(_UTC_0, "milliseconds"), "timestamp-micros": _since(_UTC_0, "microseconds"),
    "local-timestamp-millis": _since(_LOCAL_0, "milliseconds"), "local-timestamp-micros": _since(_LOCAL_0, "microseconds"),
}


def converter(type_):
    """A function for values of this type, or None: durations and nanoseconds stay bytes and numbers."""
    if type_.logical == "uuid":
        convert = (lambda raw: uuid.UUID(bytes=raw)) if type_.kind == "fixed" else uuid.UUID
    elif type_.logical == "decimal":
        convert = _decimal(type_.scale)
    else:
        convert = _CONVERTERS.get(type_.logical)
    if convert is None:
        return None

    def checked(v):
        try:
            return convert(v)
        except (ValueError, OverflowError):
            return v
    return checked
